with

source as (

    select * from {{ source('rainbow', 'promotions') }}

),

final as (

    select

        ---------- ids
        promotion_id,

        ---------- strings
        promotion_name,
        coupon_type,

        ---------- numerics
        price_treatment,

        ---------- timestamps
        starts_at,
        expires_at,
        created_at,
        updated_at

    from source

    where _sdc_deleted_at is null

)

select * from final

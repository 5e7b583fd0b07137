with

source as (

    select * from {{ source('rainbow', 'sellers') }}

),

final as (

    select

        ---------- ids
        seller_id,
        seller_uuid,

        ---------- strings
        seller_name,
        city,

        ---------- numerics
        rating_average,

        ---------- timestamps
        created_at,
        updated_at

    from source

    where _sdc_deleted_at is null

)

select * from final

with

source as (

    select * from {{ source('rainbow', 'order_details') }}

),

final as (

    select

        ---------- ids
        order_id,
        product_id,
        promotion_id,

        ---------- numerics
        quantity,
        price as unit_price,

        ---------- timestamps
        created_at,
        updated_at

    from source

    where _sdc_deleted_at is null

)

select * from final

with

source as (

    select * from {{ source('shopify', 'order_line_discounts') }}

),

final as (

    select

        ---------- ids
        order_line_id,
        order_id,

        ---------- strings
        discount_type,
        title,
        code,
        currency_code,

        ---------- numerics
        discount_index,
        discount_amount

    from source

    where _sdc_deleted_at is null

)

select * from final

with

source as (

    select * from {{ source('shopify', 'order_lines') }}

),

final as (

    select

        ---------- ids
        order_line_id,
        order_id,
        product_id,
        variant_id,

        ---------- strings
        product_title,
        sku,
        vendor,
        currency_code,

        ---------- numerics
        quantity,
        unit_price,
        gross_amount,
        discount_amount,

        ---------- timestamps
        ordered_at,
        updated_at

    from source

    where _sdc_deleted_at is null

)

select * from final

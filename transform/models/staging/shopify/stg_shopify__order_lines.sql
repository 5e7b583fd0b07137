with

orders as (

    select * from {{ source('shopify', 'orders') }}

),

final as (

    select

        ---------- ids
        {{ shopify_id(json_text('line', '$.id')) }} as order_line_id,
        {{ shopify_id('orders.id') }} as order_id,
        {{ shopify_id(json_text('line', '$.__parentId')) }} as sent_order_id,
        {{ shopify_id(json_text('line', '$.product.id')) }} as product_id,
        {{ shopify_id(json_text('line', '$.variant.id')) }} as variant_id,

        ---------- strings
        {{ json_text('line', '$.title') }} as product_title,
        {{ json_text('line', '$.sku') }} as sku,
        {{ json_text('line', '$.vendor') }} as vendor,
        {{ shop_currency('line', '$.originalTotalSet') }} as currency_code,

        ---------- numerics
        cast({{ json_text('line', '$.quantity') }} as {{ dbt.type_bigint() }}) as quantity,
        {{ shop_amount('line', '$.originalUnitPriceSet') }} as unit_price,
        {{ shop_amount('line', '$.originalTotalSet') }} as gross_amount,
        coalesce(
            (
                select sum({{ shop_amount('allocation', '$.allocatedAmountSet') }})
                from {{ json_elements('line', '$.discountAllocations', 'allocation') }}
            ),
            0
        ) as discount_amount,

        ---------- timestamps
        orders.processedAt as ordered_at,
        orders.updatedAt as updated_at

    from orders

    cross join {{ json_elements('orders.lineItems', '$', 'line') }}

    where orders._sdc_deleted_at is null

)

select * from final

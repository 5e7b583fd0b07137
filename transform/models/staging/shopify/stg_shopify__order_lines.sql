{{ config(materialized='table') }}

with

orders as (

    select * from {{ source('shopify', 'orders') }}

),

order_lines as (

    {{ json_elements('orders', ['id', 'processedAt', 'updatedAt'], 'lineItems', 'line') }}

    where _sdc_deleted_at is null

),

allocations as (

    {{ json_elements(
        'order_lines',
        ['id', json_text('line', '$.id') ~ ' as line_id'],
        'line', 'allocation', '$.discountAllocations'
    ) }}

),

discounts as (

    select

        id,
        line_id,
        sum({{ shop_amount('allocation', '$.allocatedAmountSet') }}) as discount_amount

    from allocations

    group by id, line_id

),

final as (

    select

        ---------- ids
        {{ shopify_id(json_text('line', '$.id')) }} as order_line_id,
        {{ shopify_id('order_lines.id') }} as order_id,
        {{ shopify_id(json_text('line', '$.__parentId')) }} as sent_order_id,
        {{ shopify_id(json_text('line', '$.product.id')) }} as product_id,
        {{ shopify_id(json_text('line', '$.variant.id')) }} as variant_id,

        ---------- strings
        {{ json_text('line', '$.title') }} as product_title,
        {{ json_text('line', '$.sku') }} as sku,
        {{ json_text('line', '$.vendor') }} as vendor,
        {{ shop_currency('line', '$.originalTotalSet') }} as currency_code,

        ---------- numerics
        cast({{ json_text('line', '$.quantity') }} as int64) as quantity,
        {{ shop_amount('line', '$.originalUnitPriceSet') }} as unit_price,
        {{ shop_amount('line', '$.originalTotalSet') }} as gross_amount,
        coalesce(discounts.discount_amount, 0) as discount_amount,

        ---------- timestamps
        order_lines.processedAt as ordered_at,
        order_lines.updatedAt as updated_at

    from order_lines

    left join discounts
        on
            order_lines.id = discounts.id
            and {{ json_text('line', '$.id') }} = discounts.line_id

)

select * from final

{{ config(materialized='view') }}

with

app_lines as (

    select * from {{ ref('stg_rainbow__order_details') }}

),

shopify_lines as (

    select * from {{ ref('stg_shopify__order_lines') }}

),

shopify_refund_lines as (

    select * from {{ ref('stg_shopify__refund_lines') }}

),

-- A line can be given back in parts, by several refunds.
refunds as (

    select

        order_line_id,
        sum(quantity) as refunded_quantity,
        sum(subtotal_amount) as refunded_amount

    from shopify_refund_lines

    group by order_line_id

),

final as (

    select

        'app' as channel,
        order_id,
        product_id as line_id,
        product_id,
        promotion_id,
        quantity,
        unit_price,
        quantity * unit_price as gross_amount,
        cast(null as numeric) as discount_amount,
        cast(null as int64) as refunded_quantity,
        cast(null as numeric) as refunded_amount,
        updated_at

    from app_lines

    union all

    select

        'shopify' as channel,
        shopify_lines.order_id,
        shopify_lines.order_line_id as line_id,
        shopify_lines.product_id,
        cast(null as int64) as promotion_id,
        shopify_lines.quantity,
        shopify_lines.unit_price,
        shopify_lines.gross_amount,
        shopify_lines.discount_amount,
        coalesce(refunds.refunded_quantity, 0) as refunded_quantity,
        coalesce(refunds.refunded_amount, 0) as refunded_amount,
        shopify_lines.updated_at

    from shopify_lines

    left join refunds
        on shopify_lines.order_line_id = refunds.order_line_id

)

select * from final

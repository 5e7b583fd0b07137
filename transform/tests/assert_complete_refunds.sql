{{ config(meta={'dagster': {'ref': {'name': 'stg_shopify__refunds'}}}) }}

-- An order that was paid back has a refund, and the units it no longer has are on its refunds'
-- lines. Units that an edit took away are on none. An order that changed after the refunds were
-- last read waits for the next time they are.
with

orders as (

    select * from {{ ref('stg_shopify__orders') }}

),

refunds as (

    select * from {{ ref('stg_shopify__refunds') }}

),

refund_lines as (

    select * from {{ ref('stg_shopify__refund_lines') }}

),

last_read as (

    select max(_sdc_extracted_at) as read_at
    from {{ source('shopify', 'order_refunds') }}

),

refund_counts as (

    select

        order_id,
        count(*) as refund_count

    from refunds

    group by order_id

),

returned as (

    select

        order_id,
        sum(quantity) as quantity

    from refund_lines

    group by order_id

),

compared as (

    select

        orders.order_id,
        orders.order_name,
        orders.refunded_amount,
        coalesce(refund_counts.refund_count, 0) as landed_refund_count,
        orders.quantity - orders.current_quantity as returned_quantity,
        coalesce(returned.quantity, 0) as landed_returned_quantity,
        coalesce(orders.is_edited, false) as is_edited

    from orders

    cross join last_read

    left join refund_counts
        on orders.order_id = refund_counts.order_id

    left join returned
        on orders.order_id = returned.order_id

    where last_read.read_at is null or orders.updated_at < last_read.read_at

),

final as (

    select * from compared

    where
        (refunded_amount > 0 and landed_refund_count = 0)
        or (not is_edited and landed_returned_quantity < returned_quantity)

)

select * from final

{{ config(meta={'dagster': {'ref': {'name': 'stg_shopify__order_lines'}}}) }}

-- An order's lines are the ones Shopify counted in it. Lines that Shopify sends in another order
-- than the tap expects land on somebody else's order, or on none, and no count of orders shows
-- it. An edit leaves the units it takes away on their line, a tip is a line that no total counts:
-- there the lines may hold more. Amounts are compared where no rate was between what was paid and
-- the shop's money.
with

orders as (

    select * from {{ ref('stg_shopify__orders') }}

),

order_lines as (

    select * from {{ ref('stg_shopify__order_lines') }}

),

landed as (

    select

        order_id,
        sum(quantity) as quantity,
        sum(gross_amount - discount_amount) as subtotal_amount,
        sum(case when order_id != sent_order_id then 1 else 0 end) as misplaced_line_count

    from order_lines

    group by order_id

),

compared as (

    select

        orders.order_id,
        orders.order_name,
        orders.updated_at,
        orders.quantity,
        coalesce(landed.quantity, 0) as landed_quantity,
        orders.subtotal_amount,
        coalesce(landed.subtotal_amount, 0) as landed_subtotal_amount,
        coalesce(landed.misplaced_line_count, 0) as misplaced_line_count,
        coalesce(orders.is_edited, false) or coalesce(orders.tip_amount, 0) > 0 as may_hold_more,
        orders.currency_code = orders.presentment_currency_code as is_in_one_currency

    from orders

    left join landed
        on orders.order_id = landed.order_id

),

final as (

    select * from compared

    where
        misplaced_line_count > 0
        or landed_quantity < quantity
        or (not may_hold_more and landed_quantity != quantity)
        or (
            not may_hold_more
            and is_in_one_currency
            and landed_subtotal_amount != subtotal_amount
        )

)

select * from final

{{ config(
    partition_by=partition_by_month('ordered_at'),
    cluster_by=['customer_id', 'order_id'],
) }}

with

orders as (

    select * from {{ ref('stg_rainbow__orders') }}

),

order_details as (

    select * from {{ ref('stg_rainbow__order_details') }}

),

order_totals as (

    select

        order_id,
        count(*) as line_count,
        sum(quantity) as quantity,
        sum(quantity * unit_price) as gross_amount

    from order_details

    group by order_id

),

final as (

    select

        ---------- ids
        orders.order_id,
        orders.customer_id,
        orders.payment_id,

        ---------- strings
        orders.status,
        orders.currency_code,

        ---------- numerics
        coalesce(order_totals.line_count, 0) as line_count,
        cast(coalesce(order_totals.quantity, 0) as int64) as quantity,
        {{ to_numeric('coalesce(order_totals.gross_amount, 0)', 28, 2) }} as gross_amount,

        ---------- booleans
        orders.status in ('paid', 'shipped', 'completed') as is_sale,

        ---------- timestamps
        orders.ordered_at,
        orders.updated_at

    from orders

    left join order_totals
        on orders.order_id = order_totals.order_id

)

select * from final

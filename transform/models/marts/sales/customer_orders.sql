{{ config(cluster_by=['person_key']) }}

with

orders as (

    select * from {{ ref('fct_orders') }}
    where is_sale

),

sales as (

    select * from {{ ref('fact_sales') }}

),

customers as (

    select * from {{ ref('dim_customers') }}
    where customer_key != {{ unknown_key() }}

),

amounts as (

    select

        order_key,
        sum(extended_sales_amount) as sales_amount,
        sum(extended_discount_amount) as discount_amount,
        sum(refunded_amount) as refunded_amount

    from sales

    group by order_key

),

final as (

    select

        ---------- ids
        customers.person_key,

        ---------- strings
        orders.currency_code,

        ---------- numerics
        count(*) as order_count,
        {{ to_numeric('coalesce(sum(amounts.sales_amount), 0)', 28, 2) }} as sales_amount,
        {{ to_numeric('coalesce(sum(amounts.discount_amount), 0)', 28, 2) }} as discount_amount,
        {{ to_numeric('coalesce(sum(amounts.refunded_amount), 0)', 28, 2) }} as refunded_amount,
        {{ to_numeric(
            'coalesce(sum(amounts.sales_amount - amounts.discount_amount - amounts.refunded_amount), 0)', 28, 2
        ) }} as lifetime_value,

        ---------- timestamps
        min(orders.ordered_at) as first_order_at,
        max(orders.ordered_at) as most_recent_order_at

    from orders

    inner join customers
        on orders.customer_key = customers.customer_key

    left join amounts
        on orders.order_key = amounts.order_key

    group by customers.person_key, orders.currency_code

)

select * from final

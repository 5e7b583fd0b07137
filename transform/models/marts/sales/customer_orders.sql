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

-- By version first: there are far fewer of them than orders and lines.
counts as (

    select

        customer_key,
        currency_code,
        count(*) as order_count,
        min(ordered_at) as first_order_at,
        max(ordered_at) as most_recent_order_at

    from orders

    group by customer_key, currency_code

),

amounts as (

    select

        customer_key,
        currency_code,
        sum(extended_sales_amount) as sales_amount,
        sum(extended_discount_amount) as discount_amount,
        sum(refunded_amount) as refunded_amount

    from sales

    group by customer_key, currency_code

),

final as (

    select

        ---------- ids
        customers.person_key,

        ---------- strings
        counts.currency_code,

        ---------- numerics
        cast(sum(counts.order_count) as int64) as order_count,
        {{ to_numeric('coalesce(sum(amounts.sales_amount), 0)', 28, 2) }} as sales_amount,
        {{ to_numeric('coalesce(sum(amounts.discount_amount), 0)', 28, 2) }} as discount_amount,
        {{ to_numeric('coalesce(sum(amounts.refunded_amount), 0)', 28, 2) }} as refunded_amount,
        {{ to_numeric(
            'coalesce(sum(amounts.sales_amount - amounts.discount_amount - amounts.refunded_amount), 0)', 28, 2
        ) }} as lifetime_value,

        ---------- timestamps
        min(counts.first_order_at) as first_order_at,
        max(counts.most_recent_order_at) as most_recent_order_at

    from counts

    inner join customers
        on counts.customer_key = customers.customer_key

    left join amounts
        on
            counts.customer_key = amounts.customer_key
            and counts.currency_code = amounts.currency_code

    group by customers.person_key, counts.currency_code

)

select * from final

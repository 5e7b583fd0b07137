with

sales as (

    select * from {{ ref('fact_sales') }}

),

periods as (

    select * from {{ ref('period_dates') }}

),

customers as (

    select
        customer_key,
        person_key
    from {{ ref('dim_customers') }}
    where customer_key != {{ unknown_key() }}

),

totals as (

    select

        periods.period,
        periods.period_type,
        coalesce(sales.channel, 'all') as channel,
        sales.currency_code,
        min(sales.sold_on) as first_day,
        max(sales.sold_on) as last_day,
        count(distinct customers.person_key) as customer_count,
        {{ sales_measures() }}

    from sales

    inner join periods
        on sales.sold_on = periods.date_day

    left join customers
        on sales.customer_key = customers.customer_key

    group by grouping sets (
        (periods.period, periods.period_type, sales.currency_code),
        (periods.period, periods.period_type, sales.currency_code, sales.channel)
    )

),

final as (

    select

        *,
        {{ quotient('net_sales', 'order_count', 28, 2) }} as average_order_value,
        {{ quotient('discounts', 'total_sales', 18, 6) }} as discount_rate,
        {{ quotient('returns', 'net_sales', 18, 6) }} as return_rate

    from totals

)

select * from final

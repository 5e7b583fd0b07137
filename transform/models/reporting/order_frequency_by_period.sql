with

sales as (

    select * from {{ ref('fact_sales') }}

),

customers as (

    select
        customer_key,
        person_key
    from {{ ref('dim_customers') }}
    where customer_key != {{ unknown_key() }}

),

periods as (

    select * from {{ ref('period_dates') }}
    where period_type != 'day'

),

orders as (

    select
        customers.person_key,
        sales.channel,
        sales.currency_code,
        sales.order_key,
        sales.sold_on,
        sum(sales.extended_net_amount) as net_sales
    from sales
    inner join customers
        on sales.customer_key = customers.customer_key
    group by
        customers.person_key,
        sales.channel,
        sales.currency_code,
        sales.order_key,
        sales.sold_on

),

-- Each order under its channel, and again under `all`.
scoped as (

    select
        person_key,
        channel,
        currency_code,
        sold_on,
        net_sales
    from orders

    union all

    select
        person_key,
        'all' as channel,
        currency_code,
        sold_on,
        net_sales
    from orders

),

buyers as (

    select
        periods.period,
        scoped.person_key,
        scoped.channel,
        scoped.currency_code,
        least(count(*), 10) as order_count
    from scoped
    inner join periods
        on scoped.sold_on = periods.date_day
    group by periods.period, scoped.person_key, scoped.channel, scoped.currency_code

),

final as (

    select

        period,
        channel,
        currency_code,
        order_count as orders_each,
        count(*) as customer_count

    from buyers

    group by period, channel, currency_code, order_count

)

select * from final

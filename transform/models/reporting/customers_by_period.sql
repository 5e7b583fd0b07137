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

firsts as (

    select
        person_key,
        channel,
        currency_code,
        min(sold_on) as first_sold_on
    from scoped
    group by person_key, channel, currency_code

),

buyers as (

    select

        periods.period,
        periods.period_type,
        scoped.person_key,
        scoped.channel,
        scoped.currency_code,
        min(scoped.sold_on) as first_day,
        max(scoped.sold_on) as last_day,
        min(scoped.sold_on) = min(firsts.first_sold_on) as is_new,
        count(*) as order_count,
        sum(scoped.net_sales) as net_sales

    from scoped

    inner join firsts
        on
            scoped.person_key = firsts.person_key
            and scoped.channel = firsts.channel
            and scoped.currency_code = firsts.currency_code

    inner join periods
        on scoped.sold_on = periods.date_day

    group by
        periods.period,
        periods.period_type,
        scoped.person_key,
        scoped.channel,
        scoped.currency_code

),

totals as (

    select

        period,
        period_type,
        channel,
        currency_code,
        min(first_day) as first_day,
        max(last_day) as last_day,
        count(*) as customer_count,
        count(case when is_new then 1 end) as new_customer_count,
        count(case when not is_new then 1 end) as returning_customer_count,
        count(case when order_count > 1 then 1 end) as repeat_customer_count,
        cast(sum(order_count) as int64) as order_count,
        sum(net_sales) as net_sales

    from buyers

    group by period, period_type, channel, currency_code

),

final as (

    select

        *,
        {{ to_numeric('repeat_customer_count / nullif(customer_count, 0)', 18, 6) }} as repeat_rate,
        {{ to_numeric('order_count / nullif(customer_count, 0)', 18, 6) }} as orders_per_customer,
        {{ to_numeric('net_sales / nullif(customer_count, 0)', 28, 2) }} as net_sales_per_customer

    from totals

)

select * from final

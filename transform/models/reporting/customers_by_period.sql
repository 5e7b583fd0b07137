with

orders as (

    select * from {{ ref('orders_by_person') }}

),

periods as (

    select * from {{ ref('period_dates') }}

),

buyers as (

    select

        periods.period,
        periods.period_type,
        orders.person_key,
        orders.channel,
        orders.currency_code,
        min(orders.sold_on) as first_day,
        max(orders.sold_on) as last_day,
        min(orders.sold_on) = min(orders.first_sold_on) as is_new,
        count(*) as order_count,
        sum(orders.net_sales) as net_sales

    from orders

    inner join periods
        on orders.sold_on = periods.date_day

    group by
        periods.period,
        periods.period_type,
        orders.person_key,
        orders.channel,
        orders.currency_code

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
        {{ quotient('repeat_customer_count', 'customer_count', 18, 6) }} as repeat_rate,
        {{ quotient('order_count', 'customer_count', 18, 6) }} as orders_per_customer,
        {{ quotient('net_sales', 'customer_count', 28, 2) }} as net_sales_per_customer

    from totals

)

select * from final

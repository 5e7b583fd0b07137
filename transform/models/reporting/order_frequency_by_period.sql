with

orders as (

    select * from {{ ref('orders_by_person') }}

),

periods as (

    select * from {{ ref('period_dates') }}
    where period_type != 'day'

),

buyers as (

    select
        periods.period,
        orders.person_key,
        orders.channel,
        orders.currency_code,
        least(count(*), 10) as order_count
    from orders
    inner join periods
        on orders.sold_on = periods.date_day
    group by periods.period, orders.person_key, orders.channel, orders.currency_code

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

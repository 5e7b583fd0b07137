with

orders as (

    select * from {{ ref('fct_orders') }}
    where is_sale

),

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

report as (

    select * from {{ ref('customer_report') }}

),

amounts as (

    select
        order_key,
        sum(extended_net_amount - refunded_amount) as net_after_returns
    from sales
    group by order_key

),

totals as (

    select

        periods.period,
        coalesce(orders.channel, 'all') as channel,
        orders.currency_code,
        customers.person_key,
        count(*) as order_count,
        {{ to_numeric('coalesce(sum(amounts.net_after_returns), 0)', 28, 2) }} as net_after_returns,
        max(orders.ordered_at) as most_recent_order_at

    from orders

    inner join customers
        on orders.customer_key = customers.customer_key

    inner join periods
        on cast(orders.ordered_at as date) = periods.date_day

    left join amounts
        on orders.order_key = amounts.order_key

    group by grouping sets (
        (periods.period, orders.currency_code, customers.person_key),
        (periods.period, orders.currency_code, customers.person_key, orders.channel)
    )

),

ranked as (

    select
        *,
        row_number() over (
            partition by period, channel, currency_code
            order by net_after_returns desc, order_count desc, person_key asc
        ) as customer_rank
    from totals
    qualify customer_rank <= 25

),

final as (

    select

        ranked.period,
        ranked.channel,
        ranked.currency_code,
        ranked.customer_rank,
        ranked.person_key,
        ranked.order_count,
        ranked.net_after_returns,
        ranked.most_recent_order_at,
        report.lifetime_value,
        report.facility_count,
        report.defaulted_facility_count,
        report.total_outstanding

    from ranked

    inner join report
        on
            ranked.person_key = report.person_key
            and ranked.currency_code = report.currency_code

)

select * from final

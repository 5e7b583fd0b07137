with

sales as (

    select * from {{ ref('fact_sales') }}

),

customers as (

    select * from {{ ref('customers_by_period') }}

),

periods as (

    select * from {{ ref('period_dates') }}

),

days as (

    {{ days_of_sales() }}

),

totals as (

    select

        periods.period,
        periods.period_type,
        coalesce(days.channel, 'all') as channel,
        days.currency_code,
        min(days.sold_on) as first_day,
        max(days.sold_on) as last_day,
        {{ sums_of_days() }}

    from days

    inner join periods
        on days.sold_on = periods.date_day

    group by grouping sets (
        (periods.period, periods.period_type, days.currency_code),
        (periods.period, periods.period_type, days.currency_code, days.channel)
    )

),

final as (

    select

        totals.period,
        totals.period_type,
        totals.channel,
        totals.currency_code,
        totals.first_day,
        totals.last_day,
        coalesce(customers.customer_count, 0) as customer_count,
        totals.order_count,
        totals.quantity,
        totals.total_sales,
        totals.discounts,
        totals.net_sales,
        totals.returns,
        totals.net_after_returns,
        {{ quotient('totals.net_sales', 'totals.order_count', 28, 2) }} as average_order_value,
        {{ quotient('totals.discounts', 'totals.total_sales', 18, 6) }} as discount_rate,
        {{ quotient('totals.returns', 'totals.net_sales', 18, 6) }} as return_rate

    from totals

    left join customers
        on
            totals.period = customers.period
            and totals.channel = customers.channel
            and totals.currency_code = customers.currency_code

)

select * from final

with

sales as (

    select * from {{ ref('fact_sales') }}

),

periods as (

    select * from {{ ref('period_dates') }}
    where period_type != 'day'

),

customers as (

    select
        customer_key,
        person_key
    from {{ ref('dim_customers') }}
    where customer_key != {{ unknown_key() }}

),

days as (

    {{ days_of_sales('customer_key') }}

),

totals as (

    select

        periods.period,
        coalesce(days.channel, 'all') as channel,
        days.currency_code,
        customers.person_key,
        max(days.sold_on) as last_sold_on,
        {{ sums_of_days() }}

    from days

    inner join periods
        on days.sold_on = periods.date_day

    inner join customers
        on days.customer_key = customers.customer_key

    group by grouping sets (
        (periods.period, days.currency_code, customers.person_key),
        (periods.period, days.currency_code, customers.person_key, days.channel)
    )

),

final as (

    select

        period,
        channel,
        currency_code,
        row_number() over (
            partition by period, channel, currency_code
            order by net_after_returns desc, order_count desc, person_key asc
        ) as customer_rank,
        person_key,
        order_count,
        quantity,
        net_sales,
        returns,
        net_after_returns,
        last_sold_on

    from totals

    qualify customer_rank <= 10

)

select * from final

with

sales as (

    select * from {{ ref('fact_sales') }}

),

periods as (

    select * from {{ ref('period_dates') }}
    where period_type != 'day'

),

dates as (

    select * from {{ ref('dim_dates') }}

),

days as (

    {{ days_of_sales() }}

),

final as (

    select

        periods.period,
        coalesce(days.channel, 'all') as channel,
        days.currency_code,
        dates.day_of_week,
        dates.day_name,
        {{ sums_of_days() }}

    from days

    inner join periods
        on days.sold_on = periods.date_day

    inner join dates
        on days.sold_on = dates.date_day

    group by grouping sets (
        (periods.period, days.currency_code, dates.day_of_week, dates.day_name),
        (periods.period, days.currency_code, dates.day_of_week, dates.day_name, days.channel)
    )

)

select * from final

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

final as (

    select

        periods.period,
        coalesce(sales.channel, 'all') as channel,
        sales.currency_code,
        dates.day_of_week,
        dates.day_name,
        {{ sales_measures() }}

    from sales

    inner join periods
        on sales.sold_on = periods.date_day

    inner join dates
        on sales.sold_on = dates.date_day

    group by grouping sets (
        (periods.period, sales.currency_code, dates.day_of_week, dates.day_name),
        (periods.period, sales.currency_code, dates.day_of_week, dates.day_name, sales.channel)
    )

)

select * from final

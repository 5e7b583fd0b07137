with

sales as (

    select * from {{ ref('fact_sales') }}

),

dates as (

    select * from {{ ref('dim_dates') }}

),

final as (

    select

        dates.day_of_week,
        dates.day_name,
        sales.currency_code,
        {{ sales_measures() }}

    from sales

    inner join dates
        on sales.sold_on = dates.date_day

    group by dates.day_of_week, dates.day_name, sales.currency_code

)

select * from final

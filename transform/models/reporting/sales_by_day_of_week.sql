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
        count(distinct sales.order_key) as order_count,
        cast(sum(sales.sales_quantity) as int64) as quantity,
        sum(sales.extended_sales_amount) as total_sales,
        sum(sales.extended_discount_amount) as discounts,
        sum(sales.extended_net_amount) as net_sales,
        sum(sales.refunded_amount) as refunds,
        sum(sales.extended_net_amount - sales.refunded_amount) as net_after_refunds

    from sales

    inner join dates
        on sales.sold_on = dates.date_day

    group by dates.day_of_week, dates.day_name, sales.currency_code

)

select * from final

with

sales as (

    select * from {{ ref('fact_sales') }}

),

final as (

    select

        channel,
        currency_code,
        count(*) as line_count,
        count(distinct order_key) as order_count,
        cast(sum(sales_quantity) as int64) as quantity,
        sum(extended_sales_amount) as total_sales,
        sum(extended_discount_amount) as discounts,
        sum(extended_net_amount) as net_sales,
        sum(refunded_amount) as refunds,
        sum(extended_net_amount - refunded_amount) as net_after_refunds

    from sales

    group by channel, currency_code

)

select * from final

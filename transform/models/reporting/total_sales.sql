with

orders as (

    select * from {{ ref('fct_orders') }}

),

final as (

    select

        currency_code,
        count(*) as order_count,
        cast(sum(line_count) as int64) as line_count,
        cast(sum(quantity) as int64) as quantity,
        sum(gross_amount) as total_sales

    from orders

    where is_sale

    group by currency_code

)

select * from final

with

sales as (

    select * from {{ ref('fact_sales') }}

),

final as (

    select

        sales.channel,
        sales.currency_code,
        count(*) as line_count,
        {{ sales_measures() }}

    from sales

    group by sales.channel, sales.currency_code

)

select * from final

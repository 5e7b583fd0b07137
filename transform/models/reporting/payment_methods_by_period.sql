with

sales as (

    select * from {{ ref('fact_sales') }}

),

periods as (

    select * from {{ ref('period_dates') }}
    where period_type != 'day'

),

payments as (

    select * from {{ ref('dim_payments') }}

),

-- A method has the name it had last. At the storefront the name is all there is.
methods as (

    select
        payment_key,
        last_value(payment_method) over (
            partition by channel, payment_id, case when payment_id is null then payment_method end
            order by valid_from
            rows between unbounded preceding and unbounded following
        ) as payment_method
    from payments

),

final as (

    select

        periods.period,
        coalesce(sales.channel, 'all') as channel,
        sales.currency_code,
        coalesce(methods.payment_method, 'Unknown') as payment_method,
        {{ sales_measures() }}

    from sales

    inner join periods
        on sales.sold_on = periods.date_day

    inner join methods
        on sales.payment_key = methods.payment_key

    group by grouping sets (
        (periods.period, sales.currency_code, methods.payment_method),
        (periods.period, sales.currency_code, methods.payment_method, sales.channel)
    )

)

select * from final

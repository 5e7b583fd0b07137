with

sales as (

    select * from {{ ref('fact_sales') }}

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

totals as (

    select

        sales.channel,
        methods.payment_method,
        sales.currency_code,
        {{ sales_measures() }}

    from sales

    inner join methods
        on sales.payment_key = methods.payment_key

    group by sales.channel, methods.payment_method, sales.currency_code

),

final as (

    select

        *,
        {{ quotient('net_sales', 'sum(net_sales) over (partition by currency_code)', 18, 6) }}
            as share_of_net_sales

    from totals

)

select * from final

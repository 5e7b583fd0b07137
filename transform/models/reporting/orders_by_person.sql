with

sales as (

    select * from {{ ref('fact_sales') }}

),

customers as (

    select
        customer_key,
        person_key
    from {{ ref('dim_customers') }}
    where customer_key != {{ unknown_key() }}

),

orders as (

    select
        sales.order_key,
        customers.person_key,
        sales.channel,
        sales.currency_code,
        sales.sold_on,
        sum(sales.extended_net_amount) as net_sales
    from sales
    inner join customers
        on sales.customer_key = customers.customer_key
    group by
        sales.order_key,
        customers.person_key,
        sales.channel,
        sales.currency_code,
        sales.sold_on

),

scoped as (

    select * from orders

    union all

    select
        order_key,
        person_key,
        'all' as channel,
        currency_code,
        sold_on,
        net_sales
    from orders

),

final as (

    select

        *,
        min(sold_on) over (partition by person_key, channel, currency_code) as first_sold_on

    from scoped

)

select * from final

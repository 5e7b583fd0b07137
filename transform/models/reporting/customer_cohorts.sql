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
        customers.person_key,
        sales.channel,
        sales.currency_code,
        sales.order_key,
        sales.sold_on,
        sum(sales.extended_net_amount) as net_sales
    from sales
    inner join customers
        on sales.customer_key = customers.customer_key
    group by
        customers.person_key,
        sales.channel,
        sales.currency_code,
        sales.order_key,
        sales.sold_on

),

-- Each order under its channel, and again under `all`.
scoped as (

    select
        person_key,
        channel,
        currency_code,
        sold_on,
        net_sales
    from orders

    union all

    select
        person_key,
        'all' as channel,
        currency_code,
        sold_on,
        net_sales
    from orders

),

firsts as (

    select
        person_key,
        channel,
        currency_code,
        min(sold_on) as first_sold_on
    from scoped
    group by person_key, channel, currency_code

),

activity as (

    select distinct

        cast({{ dbt.date_trunc('month', 'firsts.first_sold_on') }} as date) as cohort_month,
        firsts.person_key,
        firsts.channel,
        firsts.currency_code,
        (extract(year from scoped.sold_on) - extract(year from firsts.first_sold_on)) * 12
        + extract(month from scoped.sold_on)
        - extract(month from firsts.first_sold_on) as months_since

    from scoped

    inner join firsts
        on
            scoped.person_key = firsts.person_key
            and scoped.channel = firsts.channel
            and scoped.currency_code = firsts.currency_code

),

active as (

    select

        cohort_month,
        channel,
        currency_code,
        months_since,
        count(*) as customer_count

    from activity

    group by cohort_month, channel, currency_code, months_since

),

cohorts as (

    select

        substr({{ text('cohort_month') }}, 1, 7) as period,
        channel,
        currency_code,
        cast(months_since as int64) as months_since,
        customer_count,
        max(customer_count) over cohort as cohort_size,
        {{ to_numeric('customer_count / max(customer_count) over cohort', 18, 6) }} as active_rate

    from active

    window cohort as (partition by cohort_month, channel, currency_code)

),

-- In month 0 all of them ordered.
final as (

    select * from cohorts
    where months_since > 0

)

select * from final

with

sales as (

    select * from {{ ref('fact_sales') }}

),

customers as (

    select * from {{ ref('dim_customers') }}
    where customer_key != {{ unknown_key() }}

),

periods as (

    select * from {{ ref('period_dates') }}
    where period_type != 'day'

),

accounts as (

    select
        person_key,
        max(case when is_current then rainbow_customer_id end) is not null as is_in_app,
        max(case when is_current then shopify_customer_id end) is not null as is_in_shopify,
        max(case when is_current then lana_customer_id end) is not null as is_in_lana
    from customers
    group by person_key

),

people as (

    select
        person_key,
        case
            when is_in_app and is_in_shopify and is_in_lana then 'App, Shopify and Lana'
            when is_in_app and is_in_shopify then 'App and Shopify'
            when is_in_app and is_in_lana then 'App and Lana'
            when is_in_shopify and is_in_lana then 'Shopify and Lana'
            when is_in_app then 'App only'
            when is_in_shopify then 'Shopify only'
            when is_in_lana then 'Lana only'
            else 'None any more'
        end as systems,
        cast(is_in_app as int64) + cast(is_in_shopify as int64) + cast(is_in_lana as int64)
            as system_count
    from accounts

),

known as (

    select
        systems,
        system_count,
        count(*) as person_count
    from people
    group by systems, system_count

),

-- Once for a day, however much it was.
bought as (

    select distinct
        people.systems,
        people.person_key,
        sales.channel,
        sales.currency_code,
        sales.sold_on
    from sales
    inner join customers
        on sales.customer_key = customers.customer_key
    inner join people
        on customers.person_key = people.person_key

),

counted as (

    select

        periods.period,
        coalesce(bought.channel, 'all') as channel,
        bought.currency_code,
        bought.systems,
        count(distinct bought.person_key) as customer_count

    from bought

    inner join periods
        on bought.sold_on = periods.date_day

    group by grouping sets (
        (periods.period, bought.currency_code, bought.systems),
        (periods.period, bought.currency_code, bought.systems, bought.channel)
    )

),

selections as (

    select distinct
        period,
        channel,
        currency_code
    from counted

),

final as (

    select

        selections.period,
        selections.channel,
        selections.currency_code,
        known.systems,
        known.system_count,
        known.person_count,
        coalesce(counted.customer_count, 0) as customer_count,
        {{ quotient('coalesce(counted.customer_count, 0)', 'known.person_count', 18, 6) }}
            as customer_rate

    from selections

    cross join known

    left join counted
        on
            selections.period = counted.period
            and selections.channel = counted.channel
            and selections.currency_code = counted.currency_code
            and known.systems = counted.systems

)

select * from final

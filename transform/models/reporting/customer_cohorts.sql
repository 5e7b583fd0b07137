with

orders as (

    select * from {{ ref('orders_by_person') }}

),

activity as (

    select distinct

        cast({{ dbt.date_trunc('month', 'first_sold_on') }} as date) as cohort_month,
        person_key,
        channel,
        currency_code,
        (extract(year from sold_on) - extract(year from first_sold_on)) * 12
        + extract(month from sold_on)
        - extract(month from first_sold_on) as months_since

    from orders

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
        {{ quotient('customer_count', 'max(customer_count) over cohort', 18, 6) }} as active_rate

    from active

    window cohort as (partition by cohort_month, channel, currency_code)

),

-- In month 0 all of them ordered.
final as (

    select * from cohorts
    where months_since > 0

)

select * from final

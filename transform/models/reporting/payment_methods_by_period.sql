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

days as (

    {{ days_of_sales('payment_key') }}

),

final as (

    select

        periods.period,
        coalesce(days.channel, 'all') as channel,
        days.currency_code,
        coalesce(methods.payment_method, 'Unknown') as payment_method,
        {{ sums_of_days() }}

    from days

    inner join periods
        on days.sold_on = periods.date_day

    inner join methods
        on days.payment_key = methods.payment_key

    group by grouping sets (
        (periods.period, days.currency_code, methods.payment_method),
        (periods.period, days.currency_code, methods.payment_method, days.channel)
    )

)

select * from final

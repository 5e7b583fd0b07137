with

facilities as (

    select * from {{ ref('fct_facilities') }}

),

customers as (

    select
        customer_key,
        coalesce(lana_customer_type, 'UNKNOWN') as customer_type
    from {{ ref('dim_customers') }}

),

periods as (

    select * from {{ ref('period_dates') }}
    where period_type != 'day'

),

final as (

    select

        periods.period,
        coalesce(customers.customer_type, 'all') as customer_type,
        facilities.currency_code,
        facilities.status as facility_status,
        count(*) as facility_count,
        sum(facilities.principal_amount) as principal_amount,
        sum(facilities.disbursed_amount) as disbursed_amount,
        sum(facilities.repaid_amount) as repaid_amount,
        sum(facilities.outstanding_balance) as outstanding_balance

    from facilities

    inner join customers
        on facilities.customer_key = customers.customer_key

    inner join periods
        on facilities.opened_on = periods.date_day

    group by grouping sets (
        (periods.period, facilities.currency_code, facilities.status),
        (periods.period, facilities.currency_code, facilities.status, customers.customer_type)
    )

)

select * from final

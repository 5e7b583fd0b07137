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

scoped as (

    select
        facilities.*,
        customers.customer_type
    from facilities
    inner join customers
        on facilities.customer_key = customers.customer_key

    union all

    select
        *,
        'all' as customer_type
    from facilities

),

final as (

    select

        periods.period,
        scoped.customer_type,
        scoped.currency_code,
        row_number() over (
            partition by periods.period, scoped.customer_type, scoped.currency_code
            order by scoped.outstanding_balance desc, scoped.facility_id asc
        ) as facility_rank,
        scoped.facility_id,
        scoped.status as facility_status,
        scoped.opened_on,
        scoped.principal_amount,
        scoped.outstanding_balance,
        scoped.repaid_amount,
        scoped.repayment_ratio,
        scoped.last_paid_at

    from scoped

    inner join periods
        on scoped.opened_on = periods.date_day

    where scoped.outstanding_balance > 0

    qualify facility_rank <= 10

)

select * from final

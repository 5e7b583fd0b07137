with

transactions as (

    select * from {{ ref('fct_transactions') }}

),

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

),

-- What moved, and what was opened, by day: one currency and type of customer a row.
days as (

    select
        cast(transactions.transacted_at as date) as date_day,
        customers.customer_type,
        transactions.currency_code,
        case when transactions.transaction_type = 'DEPOSIT' then transactions.amount end
            as deposits,
        case when transactions.transaction_type = 'WITHDRAWAL' then transactions.amount end
            as withdrawals,
        case when transactions.transaction_type = 'DISBURSAL' then transactions.amount end
            as disbursals,
        case when transactions.transaction_type = 'PAYMENT' then transactions.amount end
            as payments,
        1 as transaction_count,
        0 as facility_count,
        0 as defaulted_facility_count,
        null as principal_amount,
        null as outstanding_balance,
        null as facility_disbursed_amount,
        null as facility_repaid_amount
    from transactions
    inner join customers
        on transactions.customer_key = customers.customer_key

    union all

    select
        facilities.opened_on as date_day,
        customers.customer_type,
        facilities.currency_code,
        null as deposits,
        null as withdrawals,
        null as disbursals,
        null as payments,
        0 as transaction_count,
        1 as facility_count,
        case when facilities.status = 'DEFAULTED' then 1 else 0 end as defaulted_facility_count,
        facilities.principal_amount,
        facilities.outstanding_balance,
        facilities.disbursed_amount as facility_disbursed_amount,
        facilities.repaid_amount as facility_repaid_amount
    from facilities
    inner join customers
        on facilities.customer_key = customers.customer_key

),

totals as (

    select

        periods.period,
        periods.period_type,
        coalesce(days.customer_type, 'all') as customer_type,
        days.currency_code,
        min(days.date_day) as first_day,
        max(days.date_day) as last_day,
        coalesce(sum(days.deposits), 0) as deposits,
        coalesce(sum(days.withdrawals), 0) as withdrawals,
        coalesce(sum(days.disbursals), 0) as disbursals,
        coalesce(sum(days.payments), 0) as payments,
        coalesce(sum(days.principal_amount), 0) as principal_amount,
        coalesce(sum(days.outstanding_balance), 0) as outstanding_balance,
        coalesce(sum(days.facility_disbursed_amount), 0) as facility_disbursed_amount,
        coalesce(sum(days.facility_repaid_amount), 0) as facility_repaid_amount,
        cast(sum(days.transaction_count) as int64) as transaction_count,
        cast(sum(days.facility_count) as int64) as facility_count,
        cast(sum(days.defaulted_facility_count) as int64) as defaulted_facility_count

    from days

    inner join periods
        on days.date_day = periods.date_day

    group by grouping sets (
        (periods.period, periods.period_type, days.currency_code),
        (periods.period, periods.period_type, days.currency_code, days.customer_type)
    )

),

final as (

    select

        *,
        sum(disbursals) over so_far as disbursed_to_date,
        sum(payments) over so_far as repaid_to_date,
        sum(disbursals - payments) over so_far as outstanding_to_date,
        {{ quotient('facility_repaid_amount', 'facility_disbursed_amount', 18, 6) }}
            as repaid_rate,
        {{ quotient('defaulted_facility_count', 'facility_count', 18, 6) }}
            as default_rate

    from totals

    window so_far as (
        partition by period_type, customer_type, currency_code
        order by period
        rows between unbounded preceding and current row
    )

)

select * from final

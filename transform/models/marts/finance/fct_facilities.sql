{{ config(
    partition_by=partition_by_month('opened_on', 'date'),
    cluster_by=['customer_id', 'facility_id'],
) }}

with

facilities as (

    select * from {{ ref('stg_lana__facilities') }}

),

performance as (

    select * from {{ ref('int_facility_performance') }}

),

accounts as (

    select * from {{ ref('int_person_accounts') }}
    where source_system = 'lana'

),

customers as (

    select * from {{ ref('dim_customers') }}

),

final as (

    select

        ---------- ids
        facilities.facility_id,
        facilities.customer_id,
        coalesce(customers.customer_key, {{ unknown_key() }}) as customer_key,

        ---------- strings
        facilities.status,
        facilities.currency_code,

        ---------- numerics
        {{ to_numeric('facilities.principal_amount', 28, 2) }} as principal_amount,
        {{ to_numeric('facilities.outstanding_balance', 28, 2) }} as outstanding_balance,
        {{ to_numeric('performance.disbursed_amount', 28, 2) }} as disbursed_amount,
        {{ to_numeric('performance.repaid_amount', 28, 2) }} as repaid_amount,
        performance.payment_count,
        performance.repayment_ratio,
        performance.days_to_first_payment,
        {{ to_numeric('facilities.annual_rate', 18, 6) }} as annual_rate,

        ---------- dates
        facilities.opened_on,

        ---------- timestamps
        performance.first_disbursed_at,
        performance.first_paid_at,
        performance.last_paid_at,
        facilities.updated_at

    from facilities

    left join performance
        on facilities.facility_id = performance.facility_id

    left join accounts
        on facilities.customer_id = accounts.account_id

    left join customers
        on
            accounts.person_key = customers.person_key
            and {{ is_valid_at('customers', 'facilities.created_at') }}

)

select * from final

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

final as (

    select

        ---------- ids
        facilities.facility_id,
        facilities.customer_id,

        ---------- strings
        facilities.status,
        facilities.currency_code,

        ---------- numerics
        {{ to_numeric('facilities.principal_amount', 28, 2) }} as principal_amount,
        {{ to_numeric('facilities.outstanding_balance', 28, 2) }} as outstanding_balance,
        {{ to_numeric('performance.disbursed_amount', 28, 2) }} as disbursed_amount,
        {{ to_numeric('performance.repaid_amount', 28, 2) }} as repaid_amount,
        performance.repayment_ratio,
        {{ to_numeric('facilities.annual_rate', 18, 6) }} as annual_rate,

        ---------- dates
        facilities.opened_on,

        ---------- timestamps
        performance.first_disbursed_at,
        performance.last_paid_at,
        facilities.updated_at

    from facilities

    left join performance
        on facilities.facility_id = performance.facility_id

)

select * from final

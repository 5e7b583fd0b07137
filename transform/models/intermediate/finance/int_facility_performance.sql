with

facilities as (

    select * from {{ ref('stg_lana__facilities') }}

),

transactions as (

    select * from {{ ref('stg_lana__transactions') }}

),

movements as (

    select

        facility_id,
        currency_code,

        sum(case when transaction_type = 'DISBURSAL' then amount else 0 end) as disbursed_amount,
        sum(case when transaction_type = 'PAYMENT' then amount else 0 end) as repaid_amount,
        count(case when transaction_type = 'PAYMENT' then transaction_id end) as payment_count,
        min(case when transaction_type = 'DISBURSAL' then transacted_at end) as first_disbursed_at,
        min(case when transaction_type = 'PAYMENT' then transacted_at end) as first_paid_at,
        max(case when transaction_type = 'PAYMENT' then transacted_at end) as last_paid_at

    from transactions

    where facility_id is not null

    group by facility_id, currency_code

),

joined as (

    select

        facilities.facility_id,
        facilities.customer_id,
        facilities.currency_code,
        facilities.outstanding_balance,
        movements.first_disbursed_at,
        movements.first_paid_at,
        movements.last_paid_at,
        coalesce(movements.disbursed_amount, 0) as disbursed_amount,
        coalesce(movements.repaid_amount, 0) as repaid_amount,
        coalesce(movements.payment_count, 0) as payment_count

    from facilities

    left join movements
        on
            facilities.facility_id = movements.facility_id
            and facilities.currency_code = movements.currency_code

),

final as (

    select

        ---------- ids
        facility_id,
        customer_id,

        ---------- strings
        currency_code,

        ---------- numerics
        outstanding_balance,
        disbursed_amount,
        repaid_amount,
        payment_count,
        {{ quotient('repaid_amount', 'disbursed_amount', 18, 6) }} as repayment_ratio,
        {{ dbt.datediff('first_disbursed_at', 'first_paid_at', 'day') }}
            as days_to_first_payment,

        ---------- timestamps
        first_disbursed_at,
        first_paid_at,
        last_paid_at

    from joined

)

select * from final

with

transactions as (

    select * from {{ ref('fct_transactions') }}

),

final as (

    select

        cast({{ dbt.date_trunc('month', 'transacted_at') }} as date) as month_start,
        currency_code,
        sum(case when transaction_type = 'DEPOSIT' then amount else 0 end) as deposits,
        sum(case when transaction_type = 'WITHDRAWAL' then amount else 0 end) as withdrawals,
        sum(case when transaction_type = 'DISBURSAL' then amount else 0 end) as disbursals,
        sum(case when transaction_type = 'PAYMENT' then amount else 0 end) as payments,
        count(*) as transaction_count

    from transactions

    group by 1, 2

)

select * from final

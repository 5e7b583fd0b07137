{{ config(
    partition_by=partition_by_month('paid_at'),
    cluster_by=['customer_key', 'facility_id'],
) }}

with

transactions as (

    select * from {{ ref('fct_transactions') }}

),

final as (

    select

        ---------- ids
        transaction_id,
        customer_id,
        customer_key,
        facility_id,

        ---------- strings
        currency_code,

        ---------- numerics
        row_number() over in_order as payment_number,
        amount,
        {{ to_numeric(
            'sum(amount) over (in_order rows between unbounded preceding and current row)', 28, 2
        ) }} as repaid_so_far,

        ---------- timestamps
        transacted_at as paid_at,
        updated_at

    from transactions

    where transaction_type = 'PAYMENT'

    window in_order as (
        partition by facility_id, currency_code
        order by transacted_at, transaction_id
    )

)

select * from final

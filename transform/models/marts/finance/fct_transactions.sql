{{ config(
    partition_by=partition_by_month('transacted_at'),
    cluster_by=['customer_id', 'facility_id'],
) }}

with

transactions as (

    select * from {{ ref('stg_lana__transactions') }}

),

final as (

    select

        ---------- ids
        transaction_id,
        customer_id,
        facility_id,

        ---------- strings
        transaction_type,
        currency_code,

        ---------- numerics
        {{ to_numeric('amount', 28, 2) }} as amount,

        ---------- timestamps
        transacted_at,
        updated_at

    from transactions

)

select * from final

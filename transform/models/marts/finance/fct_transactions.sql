{{ config(
    partition_by=partition_by_month('transacted_at'),
    cluster_by=['customer_id', 'facility_id'],
) }}

with

transactions as (

    select * from {{ ref('stg_lana__transactions') }}

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
        transactions.transaction_id,
        transactions.customer_id,
        coalesce(customers.customer_key, {{ unknown_key() }}) as customer_key,
        transactions.facility_id,

        ---------- strings
        transactions.transaction_type,
        transactions.currency_code,

        ---------- numerics
        {{ to_numeric('transactions.amount', 28, 2) }} as amount,

        ---------- timestamps
        transactions.transacted_at,
        transactions.updated_at

    from transactions

    left join accounts
        on transactions.customer_id = accounts.account_id

    left join customers
        on
            accounts.person_key = customers.person_key
            and {{ is_valid_at('customers', 'transactions.transacted_at') }}

)

select * from final

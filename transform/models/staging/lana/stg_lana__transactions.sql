with

source as (

    select * from {{ source('lana', 'transactions') }}

),

final as (

    select

        ---------- ids
        transaction_id,
        customer_id,
        facility_id,

        ---------- strings
        type as transaction_type,
        currency_code,

        ---------- numerics
        amount,

        ---------- timestamps
        transaction_date as transacted_at,
        created_at,
        updated_at

    from source

    where _sdc_deleted_at is null

)

select * from final

with

source as (

    select * from {{ source('shopify', 'transactions') }}

),

final as (

    select

        ---------- ids
        transaction_id,
        order_id,
        parent_transaction_id,

        ---------- strings
        kind,
        status,
        gateway,
        currency_code,

        ---------- numerics
        amount,

        ---------- timestamps
        processed_at,
        created_at

    from source

    where _sdc_deleted_at is null

)

select * from final

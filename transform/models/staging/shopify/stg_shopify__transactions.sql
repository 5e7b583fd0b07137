with

source as (

    select * from {{ source('shopify', 'transactions') }}

),

final as (

    select

        ---------- ids
        {{ shopify_id('id') }} as transaction_id,
        {{ shopify_id(json_text('source.order', '$.id')) }} as order_id,
        {{ shopify_id(json_text('parentTransaction', '$.id')) }} as parent_transaction_id,

        ---------- strings
        lower(kind) as kind,
        lower(status) as status,
        gateway,
        {{ shop_currency('amountSet') }} as currency_code,

        ---------- numerics
        {{ shop_amount('amountSet') }} as amount,

        ---------- timestamps
        processedAt as processed_at,
        createdAt as created_at

    from source

    where _sdc_deleted_at is null

)

select * from final

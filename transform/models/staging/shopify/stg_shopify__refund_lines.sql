with

refunds as (

    select * from {{ source('shopify', 'order_refunds') }}

),

refund_lines as (

    {{ json_elements('refunds', ['id', 'createdAt', 'refunds.order'], 'refundLineItems', 'line') }}

    where _sdc_deleted_at is null

),

final as (

    select

        ---------- ids
        {{ shopify_id(json_text('line', '$.id')) }} as refund_line_id,
        {{ shopify_id('id') }} as refund_id,
        {{ shopify_id(json_text('refund_lines.order', '$.id')) }} as order_id,
        {{ shopify_id(json_text('line', '$.lineItem.id')) }} as order_line_id,

        ---------- strings
        lower({{ json_text('line', '$.restockType') }}) as restock_type,
        {{ shop_currency('line', '$.subtotalSet') }} as currency_code,

        ---------- numerics
        cast({{ json_text('line', '$.quantity') }} as int64) as quantity,
        {{ shop_amount('line', '$.subtotalSet') }} as subtotal_amount,
        {{ shop_amount('line', '$.totalTaxSet') }} as tax_amount,

        ---------- timestamps
        createdAt as created_at

    from refund_lines

)

select * from final

with

refunds as (

    select * from {{ source('shopify', 'order_refunds') }}

),

final as (

    select

        ---------- ids
        {{ shopify_id(json_text('line', '$.id')) }} as refund_line_id,
        {{ shopify_id('refunds.id') }} as refund_id,
        {{ shopify_id(json_text('refunds.order', '$.id')) }} as order_id,
        {{ shopify_id(json_text('line', '$.lineItem.id')) }} as order_line_id,

        ---------- strings
        lower({{ json_text('line', '$.restockType') }}) as restock_type,
        {{ shop_currency('line', '$.subtotalSet') }} as currency_code,

        ---------- numerics
        cast({{ json_text('line', '$.quantity') }} as {{ dbt.type_bigint() }}) as quantity,
        {{ shop_amount('line', '$.subtotalSet') }} as subtotal_amount,
        {{ shop_amount('line', '$.totalTaxSet') }} as tax_amount,

        ---------- timestamps
        refunds.createdAt as created_at

    from refunds

    cross join {{ json_elements('refunds.refundLineItems', '$', 'line') }}

    where refunds._sdc_deleted_at is null

)

select * from final

with

source as (

    select * from {{ source('shopify', 'refund_lines') }}

),

final as (

    select

        ---------- ids
        refund_line_id,
        refund_id,
        order_id,
        order_line_id,

        ---------- strings
        restock_type,
        currency_code,

        ---------- numerics
        quantity,
        subtotal_amount,
        tax_amount,

        ---------- timestamps
        created_at

    from source

    where _sdc_deleted_at is null

)

select * from final

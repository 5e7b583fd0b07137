with

source as (

    select * from {{ source('shopify', 'orders') }}

),

final as (

    select

        ---------- ids
        order_id,
        customer_id,

        ---------- strings
        order_name,
        currency_code,
        financial_status,
        fulfillment_status,
        cancel_reason,
        payment_gateway,

        ---------- numerics
        quantity,
        current_quantity,
        transaction_count,
        subtotal_amount,
        discount_amount,
        tax_amount,
        shipping_amount,
        total_amount,
        current_total_amount,
        refunded_amount,
        received_amount,

        ---------- booleans
        is_test,
        are_taxes_included,

        ---------- timestamps
        ordered_at,
        cancelled_at,
        created_at,
        updated_at

    from source

    where _sdc_deleted_at is null

)

select * from final

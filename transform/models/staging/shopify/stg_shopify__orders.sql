with

source as (

    select * from {{ source('shopify', 'orders') }}

),

final as (

    select

        ---------- ids
        {{ shopify_id('id') }} as order_id,
        {{ shopify_id(json_text('customer', '$.id')) }} as customer_id,

        ---------- strings
        name as order_name,
        currencyCode as currency_code,
        presentmentCurrencyCode as presentment_currency_code,
        lower(displayFinancialStatus) as financial_status,
        lower(displayFulfillmentStatus) as fulfillment_status,
        lower(cancelReason) as cancel_reason,
        {{ json_text('paymentGatewayNames', '$[0]') }} as payment_gateway,

        ---------- numerics
        subtotalLineItemsQuantity as quantity,
        currentSubtotalLineItemsQuantity as current_quantity,
        cast({{ json_text('transactionsCount', '$.count') }} as int64)
            as transaction_count,
        {{ shop_amount('subtotalPriceSet') }} as subtotal_amount,
        {{ shop_amount('totalDiscountsSet') }} as discount_amount,
        {{ shop_amount('totalTaxSet') }} as tax_amount,
        {{ shop_amount('totalShippingPriceSet') }} as shipping_amount,
        {{ shop_amount('totalTipReceivedSet') }} as tip_amount,
        {{ shop_amount('totalPriceSet') }} as total_amount,
        {{ shop_amount('originalTotalPriceSet') }} as original_total_amount,
        {{ shop_amount('currentTotalPriceSet') }} as current_total_amount,
        {{ shop_amount('totalRefundedSet') }} as refunded_amount,
        {{ shop_amount('totalReceivedSet') }} as received_amount,

        ---------- booleans
        test as is_test,
        edited as is_edited,
        taxesIncluded as are_taxes_included,

        ---------- timestamps
        processedAt as ordered_at,
        cancelledAt as cancelled_at,
        createdAt as created_at,
        updatedAt as updated_at

    from source

    where _sdc_deleted_at is null

)

select * from final

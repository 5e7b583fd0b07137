with

source as (

    select * from {{ source('shopify', 'order_refunds') }}

),

final as (

    select

        ---------- ids
        {{ shopify_id('id') }} as refund_id,
        {{ shopify_id(json_text('source.order', '$.id')) }} as order_id,

        ---------- timestamps
        createdAt as created_at,
        updatedAt as updated_at

    from source

    where _sdc_deleted_at is null

)

select * from final

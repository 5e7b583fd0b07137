with

source as (

    select * from {{ source('shopify', 'refunds') }}

),

final as (

    select

        ---------- ids
        refund_id,
        order_id,

        ---------- timestamps
        created_at,
        updated_at

    from source

    where _sdc_deleted_at is null

)

select * from final

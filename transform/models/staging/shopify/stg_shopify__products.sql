with

source as (

    select * from {{ source('shopify', 'products') }}

),

final as (

    select

        ---------- ids
        product_id,

        ---------- strings
        title,
        vendor,
        product_type,
        status,

        ---------- booleans
        is_gift_card,

        ---------- json
        tags,

        ---------- timestamps
        created_at,
        updated_at

    from source

    where _sdc_deleted_at is null

)

select * from final

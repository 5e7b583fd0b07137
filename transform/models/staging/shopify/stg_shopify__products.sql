with

source as (

    select * from {{ source('shopify', 'products') }}

),

final as (

    select

        ---------- ids
        {{ shopify_id('id') }} as product_id,

        ---------- strings
        title,
        vendor,
        productType as product_type,
        lower(status) as status,

        ---------- json
        tags,

        ---------- booleans
        isGiftCard as is_gift_card,

        ---------- timestamps
        createdAt as created_at,
        updatedAt as updated_at

    from source

    where _sdc_deleted_at is null

)

select * from final

with

source as (

    select * from {{ source('shopify', 'product_variants') }}

),

final as (

    select

        ---------- ids
        {{ shopify_id('id') }} as variant_id,
        {{ shopify_id(json_text('product', '$.id')) }} as product_id,

        ---------- strings
        title,
        sku,

        ---------- numerics
        price,
        compareAtPrice as compare_at_price,
        inventoryQuantity as inventory_quantity,

        ---------- timestamps
        createdAt as created_at,
        updatedAt as updated_at

    from source

    where _sdc_deleted_at is null

)

select * from final

with

source as (

    select * from {{ source('shopify', 'product_variants') }}

),

final as (

    select

        ---------- ids
        variant_id,
        product_id,

        ---------- strings
        title,
        sku,

        ---------- numerics
        price,
        compare_at_price,
        inventory_quantity,

        ---------- timestamps
        created_at,
        updated_at

    from source

    where _sdc_deleted_at is null

)

select * from final

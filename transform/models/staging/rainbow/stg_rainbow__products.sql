with

source as (

    select * from {{ source('rainbow', 'products') }}

),

final as (

    select

        ---------- ids
        product_id,
        category_id,
        seller_id,
        brand_id,
        promotion_id,

        ---------- strings
        product_name,

        ---------- numerics
        price,
        original_price,
        {{ to_numeric('weight_kg', 38, 9) }} as weight_kg,
        rating_average,
        review_count,
        sold_count,

        ---------- json
        tags,
        attributes,

        ---------- bytes
        thumbnail,

        ---------- timestamps
        created_at,
        updated_at

    from source

    where _sdc_deleted_at is null

)

select * from final

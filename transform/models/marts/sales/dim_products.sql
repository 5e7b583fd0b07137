{{ config(cluster_by=['channel', 'product_id']) }}

with

app_products as (

    {{ versions(ref('snap_rainbow__products')) }}

),

shopify_products as (

    {{ versions(ref('snap_shopify__products')) }}

),

categories as (

    select * from {{ ref('snap_rainbow__categories') }}
    where dbt_valid_to is null

),

brands as (

    select * from {{ ref('snap_rainbow__brands') }}
    where dbt_valid_to is null

),

products as (

    select
        {{ version_key(["'app'", 'products.product_id'], 'products.valid_from') }} as product_key,
        'app' as channel,
        products.product_id,
        products.seller_id,
        products.category_id,
        products.brand_id,
        products.promotion_id,
        products.product_name,
        categories.category_name,
        departments.category_name as department_name,
        brands.brand_name,
        null as status,
        products.price,
        products.original_price,
        products.rating_average,
        products.created_at as listed_at,
        products.valid_from,
        products.valid_to,
        products.is_current
    from app_products as products
    left join categories
        on products.category_id = categories.category_id
    left join categories as departments
        on categories.parent_category_id = departments.category_id
    left join brands
        on products.brand_id = brands.brand_id

    union all

    select
        {{ version_key(["'shopify'", 'product_id']) }} as product_key,
        'shopify' as channel,
        product_id,
        null as seller_id,
        null as category_id,
        null as brand_id,
        null as promotion_id,
        title as product_name,
        product_type as category_name,
        null as department_name,
        vendor as brand_name,
        status,
        null as price,
        null as original_price,
        null as rating_average,
        created_at as listed_at,
        valid_from,
        valid_to,
        is_current
    from shopify_products

    union all

    select
        {{ unknown_key() }} as product_key,
        null as channel,
        null as product_id,
        null as seller_id,
        null as category_id,
        null as brand_id,
        null as promotion_id,
        'Unknown' as product_name,
        null as category_name,
        null as department_name,
        null as brand_name,
        null as status,
        null as price,
        null as original_price,
        null as rating_average,
        null as listed_at,
        {{ beginning_of_time() }} as valid_from,
        {{ end_of_time() }} as valid_to,
        true as is_current

),

final as (

    select

        ---------- ids
        product_key,
        product_id,
        seller_id,
        category_id,
        brand_id,
        promotion_id,

        ---------- strings
        channel,
        product_name,
        category_name,
        department_name,
        brand_name,
        status,

        ---------- numerics
        {{ to_numeric('price', 28, 2) }} as price,
        {{ to_numeric('original_price', 28, 2) }} as original_price,
        {{ to_numeric('rating_average', 18, 6) }} as rating_average,

        ---------- booleans
        is_current,

        ---------- timestamps
        listed_at,
        valid_from,
        valid_to

    from products

)

select * from final

{% snapshot snap_rainbow__products %}

{{ config(
    unique_key='product_id',
    check_cols=[
        'product_name',
        'category_id',
        'seller_id',
        'brand_id',
        'promotion_id',
        'price',
        'original_price',
        'rating_average',
        '_sdc_deleted_at',
    ],
) }}

    select

        product_id,
        product_name,
        category_id,
        seller_id,
        brand_id,
        promotion_id,
        price,
        original_price,
        rating_average,
        created_at,
        updated_at,
        _sdc_deleted_at,
        {{ run_started_at_utc() }} as seen_at

    from {{ source('rainbow', 'products') }}

{% endsnapshot %}

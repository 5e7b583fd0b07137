{% snapshot snap_shopify__products %}

{{ config(
    unique_key='product_id',
    check_cols=[
        'title',
        'vendor',
        'product_type',
        'status',
        '_sdc_deleted_at',
    ],
) }}

    select

        product_id,
        title,
        vendor,
        product_type,
        status,
        created_at,
        updated_at,
        -- The tap reports no deletions.
        cast(null as timestamp) as _sdc_deleted_at,
        {{ run_started_at_utc() }} as seen_at

    from {{ ref('stg_shopify__products') }}

{% endsnapshot %}

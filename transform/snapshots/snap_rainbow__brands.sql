{% snapshot snap_rainbow__brands %}

{{ config(
    unique_key='brand_id',
    check_cols=[
        'brand_name',
        'country_code',
        '_sdc_deleted_at',
    ],
) }}

    select

        brand_id,
        brand_name,
        country_code,
        created_at,
        updated_at,
        _sdc_deleted_at,
        {{ run_started_at_utc() }} as seen_at

    from {{ source('rainbow', 'brands') }}

{% endsnapshot %}

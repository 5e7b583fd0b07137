{% snapshot snap_rainbow__promotions %}

{{ config(
    unique_key='promotion_id',
    check_cols=[
        'promotion_name',
        'coupon_type',
        'price_treatment',
        'starts_at',
        'expires_at',
        '_sdc_deleted_at',
    ],
) }}

    select

        promotion_id,
        promotion_name,
        coupon_type,
        price_treatment,
        starts_at,
        expires_at,
        created_at,
        updated_at,
        _sdc_deleted_at,
        {{ run_started_at_utc() }} as seen_at

    from {{ source('rainbow', 'promotions') }}

{% endsnapshot %}

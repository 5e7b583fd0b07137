{% snapshot snap_rainbow__sellers %}

{{ config(
    unique_key='seller_id',
    check_cols=[
        'seller_name',
        'city',
        'rating_average',
        '_sdc_deleted_at',
    ],
) }}

    select

        seller_id,
        seller_name,
        city,
        rating_average,
        created_at,
        updated_at,
        _sdc_deleted_at,
        {{ run_started_at_utc() }} as seen_at

    from {{ source('rainbow', 'sellers') }}

{% endsnapshot %}

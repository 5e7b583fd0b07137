{% snapshot snap_rainbow__customers %}

{{ config(
    unique_key='customer_id',
    check_cols=[
        'full_name',
        'email',
        'phone',
        'is_subscribed',
        '_sdc_deleted_at',
    ],
) }}

    select

        customer_id,
        full_name,
        email,
        phone,
        is_subscribed,
        created_at,
        updated_at,
        _sdc_deleted_at,
        {{ run_started_at_utc() }} as seen_at

    from {{ source('rainbow', 'customers') }}

{% endsnapshot %}

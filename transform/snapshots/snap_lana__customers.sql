{% snapshot snap_lana__customers %}

{{ config(
    unique_key='customer_id',
    check_cols=[
        'full_name',
        'email',
        'status',
        'customer_type',
        '_sdc_deleted_at',
    ],
) }}

    select

        customer_id,
        full_name,
        email,
        status,
        customer_type,
        created_at,
        updated_at,
        _sdc_deleted_at,
        {{ run_started_at_utc() }} as seen_at

    from {{ source('lana', 'customers') }}

{% endsnapshot %}

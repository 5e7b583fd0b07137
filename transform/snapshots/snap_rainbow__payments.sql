{% snapshot snap_rainbow__payments %}

{{ config(
    unique_key='payment_id',
    check_cols=[
        'payment_method',
        'fee_rate',
        'is_active',
        '_sdc_deleted_at',
    ],
) }}

    select

        payment_id,
        payment_method,
        fee_rate,
        is_active,
        created_at,
        updated_at,
        _sdc_deleted_at,
        {{ run_started_at_utc() }} as seen_at

    from {{ source('rainbow', 'payments') }}

{% endsnapshot %}

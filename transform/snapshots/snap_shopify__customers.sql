{% snapshot snap_shopify__customers %}

{{ config(
    unique_key='customer_id',
    check_cols=[
        'first_name',
        'last_name',
        'email',
        'phone',
        'state',
        '_sdc_deleted_at',
    ],
) }}

    select

        customer_id,
        first_name,
        last_name,
        email,
        phone,
        state,
        created_at,
        updated_at,
        -- The tap reports no deletions.
        cast(null as timestamp) as _sdc_deleted_at,
        {{ run_started_at_utc() }} as seen_at

    from {{ ref('stg_shopify__customers') }}

{% endsnapshot %}

{% snapshot snap_rainbow__categories %}

{{ config(
    unique_key='category_id',
    check_cols=[
        'category_name',
        'parent_category_id',
        '_sdc_deleted_at',
    ],
) }}

    select

        category_id,
        category_name,
        parent_category_id,
        created_at,
        updated_at,
        _sdc_deleted_at,
        {{ run_started_at_utc() }} as seen_at

    from {{ source('rainbow', 'categories') }}

{% endsnapshot %}

with

orders as (

    select * from {{ source('shopify', 'orders') }}

),

refunds as (

    select * from {{ source('shopify', 'order_refunds') }}

),

changes as (

    select
        id as order_gid,
        _sdc_batched_at,
        _sdc_deleted_at
    from orders

    union all

    select
        {{ json_text('refunds.order', '$.id') }} as order_gid,
        _sdc_batched_at,
        _sdc_deleted_at
    from refunds

),

final as (

    select

        ---------- ids
        {{ shopify_id('order_gid') }} as order_id,

        ---------- timestamps
        max(greatest(_sdc_batched_at, coalesce(_sdc_deleted_at, _sdc_batched_at))) as changed_at

    from changes

    group by order_gid

)

select * from final

with

orders as (

    select * from {{ source('rainbow', 'orders') }}

),

order_details as (

    select * from {{ source('rainbow', 'order_details') }}

),

changes as (

    select
        order_id,
        _sdc_batched_at,
        _sdc_deleted_at
    from orders

    union all

    select
        order_id,
        _sdc_batched_at,
        _sdc_deleted_at
    from order_details

),

final as (

    select

        ---------- ids
        order_id,

        ---------- timestamps
        max(greatest(_sdc_batched_at, coalesce(_sdc_deleted_at, _sdc_batched_at))) as changed_at

    from changes

    group by order_id

)

select * from final

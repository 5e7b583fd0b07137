with

source as (

    select * from {{ source('rainbow', 'orders') }}

),

final as (

    select

        ---------- ids
        order_id,
        customer_id,
        payment_id,

        ---------- strings
        status,
        currency_code,
        note,

        ---------- timestamps
        delivery_slot,
        created_at as ordered_at,
        updated_at

    from source

    where _sdc_deleted_at is null

)

select * from final

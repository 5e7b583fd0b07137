with

customers as (

    select * from {{ ref('customer_orders') }}

),

final as (

    select

        row_number() over (
            partition by currency_code
            order by lifetime_value desc, order_count desc, first_order_at asc, person_key asc
        ) as customer_rank,
        person_key,
        currency_code,
        lifetime_value,
        order_count,
        first_order_at,
        most_recent_order_at

    from customers

)

select * from final

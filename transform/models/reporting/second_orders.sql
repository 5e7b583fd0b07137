with

orders as (

    select * from {{ ref('fct_orders') }}

),

customers as (

    select * from {{ ref('dim_customers') }}
    where customer_key != {{ unknown_key() }}

),

newest as (

    select max(ordered_at) as ordered_at from orders

),

numbered as (

    select

        orders.channel,
        orders.ordered_at,
        row_number() over (
            partition by customers.person_key order by orders.ordered_at, orders.order_key
        ) as order_number,
        lead(orders.ordered_at) over (
            partition by customers.person_key order by orders.ordered_at, orders.order_key
        ) as next_ordered_at

    from orders

    inner join customers
        on orders.customer_key = customers.customer_key

    where orders.is_sale

),

final as (

    select

        numbered.channel,
        cast({{ dbt.date_trunc('quarter', 'numbered.ordered_at') }} as date) as first_quarter,
        numbered.next_ordered_at is not null as has_come_back,
        {{ dbt.datediff(
            'numbered.ordered_at', 'coalesce(numbered.next_ordered_at, newest.ordered_at)', 'day'
        ) }} as day_count,
        count(*) as person_count

    from numbered

    cross join newest

    where numbered.order_number = 1

    group by 1, 2, 3, 4

)

select * from final

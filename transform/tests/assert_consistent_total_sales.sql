{{ config(meta={'dagster': {'ref': {'name': 'total_sales'}}}) }}
-- The report equals the raw order lines, by currency. It reads the source, and repeats which
-- statuses are sales, on purpose: nothing between the two is taken on trust.
with

orders as (

    select * from {{ source('rainbow', 'orders') }}

),

order_details as (

    select * from {{ source('rainbow', 'order_details') }}

),

reported as (

    select * from {{ ref('total_sales') }}

),

expected as (

    select

        orders.currency_code,
        sum(order_details.quantity * order_details.price) as total_sales

    from order_details

    inner join orders
        on order_details.order_id = orders.order_id

    where
        orders._sdc_deleted_at is null
        and order_details._sdc_deleted_at is null
        and orders.status not in ('pending', 'cancelled', 'refunded')

    group by orders.currency_code

),

final as (

    select

        expected.total_sales as expected,
        reported.total_sales as reported,
        coalesce(expected.currency_code, reported.currency_code) as currency_code

    from expected

    full outer join reported
        on expected.currency_code = reported.currency_code

    where coalesce(expected.total_sales, 0) != coalesce(reported.total_sales, 0)

)

select * from final

{{ config(meta={'dagster': {'ref': {'name': 'stg_shopify__transactions'}}}) }}

-- No order has fewer transactions than Shopify counted in it. More is no fault: the two are read
-- at two moments. For the same reason an order that changed after the transactions were last read
-- waits for the next time they are.
with

orders as (

    select * from {{ ref('stg_shopify__orders') }}

),

transactions as (

    select * from {{ ref('stg_shopify__transactions') }}

),

last_read as (

    select max(_sdc_extracted_at) as read_at
    from {{ source('shopify', 'transactions') }}

),

landed as (

    select

        order_id,
        count(*) as transaction_count

    from transactions

    group by order_id

),

final as (

    select

        orders.order_id,
        orders.order_name,
        orders.transaction_count,
        coalesce(landed.transaction_count, 0) as landed_transaction_count

    from orders

    cross join last_read

    left join landed
        on orders.order_id = landed.order_id

    where
        (last_read.read_at is null or orders.updated_at < last_read.read_at)
        and orders.transaction_count > coalesce(landed.transaction_count, 0)

)

select * from final

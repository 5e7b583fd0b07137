{{ config(materialized='view') }}

with

app_orders as (

    select * from {{ ref('stg_rainbow__orders') }}

),

shopify_orders as (

    select * from {{ ref('stg_shopify__orders') }}

),

app as (

    select

        'app' as channel,
        order_id,
        customer_id,
        payment_id,
        cast(null as {{ dbt.type_string() }}) as payment_method,
        status,
        currency_code,
        -- Money was taken. Giving it back does not undo the sale: it is a return.
        status in ('paid', 'shipped', 'completed', 'refunded') as is_sale,
        ordered_at,
        updated_at

    from app_orders

),

shopify as (

    select

        'shopify' as channel,
        order_id,
        customer_id,
        cast(null as int64) as payment_id,
        payment_gateway as payment_method,
        financial_status as status,
        currency_code,
        financial_status in ('paid', 'partially_paid', 'partially_refunded', 'refunded')
        and not is_test as is_sale,
        ordered_at,
        updated_at

    from shopify_orders

),

final as (

    select
        {{ order_key() }} as order_key,
        *
    from app

    union all

    select
        {{ order_key() }} as order_key,
        *
    from shopify

)

select * from final

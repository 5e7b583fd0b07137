{{ config(materialized='view') }}

with

app as (

    select * from {{ ref('stg_rainbow__order_changes') }}

),

shopify as (

    select * from {{ ref('stg_shopify__order_changes') }}

),

final as (

    select
        'app' as channel,
        order_id,
        changed_at
    from app

    union all

    select
        'shopify' as channel,
        order_id,
        changed_at
    from shopify

)

select * from final

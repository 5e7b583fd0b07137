{{ config(cluster_by=['channel', 'payment_id']) }}

with

app_versions as (

    {{ versions(ref('snap_rainbow__payments')) }}

),

shopify_orders as (

    select * from {{ ref('stg_shopify__orders') }}

),

-- Shopify has no table of them: a gateway is a name on its orders, and has no history.
gateways as (

    select distinct payment_gateway
    from shopify_orders
    where payment_gateway is not null

),

payments as (

    select
        {{ version_key(["'app'", 'payment_id']) }} as payment_key,
        'app' as channel,
        payment_id,
        payment_method,
        fee_rate,
        is_active,
        valid_from,
        valid_to,
        is_current
    from app_versions

    union all

    select
        {{ entity_key(["'shopify'", 'payment_gateway']) }} as payment_key,
        'shopify' as channel,
        null as payment_id,
        payment_gateway as payment_method,
        null as fee_rate,
        null as is_active,
        {{ beginning_of_time() }} as valid_from,
        {{ end_of_time() }} as valid_to,
        true as is_current
    from gateways

    union all

    select
        {{ unknown_key() }} as payment_key,
        null as channel,
        null as payment_id,
        'Unknown' as payment_method,
        null as fee_rate,
        null as is_active,
        {{ beginning_of_time() }} as valid_from,
        {{ end_of_time() }} as valid_to,
        true as is_current

),

final as (

    select

        ---------- ids
        payment_key,
        payment_id,

        ---------- strings
        channel,
        payment_method,

        ---------- numerics
        {{ to_numeric('fee_rate', 9, 6) }} as fee_rate,

        ---------- booleans
        is_active,
        is_current,

        ---------- timestamps
        valid_from,
        valid_to

    from payments

)

select * from final

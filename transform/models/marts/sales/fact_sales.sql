{{ config(
    materialized='incremental',
    incremental_strategy='merge',
    unique_key='sale_key',
    merge_exclude_columns=['sale_key'],
    on_schema_change='fail',
    partition_by=partition_by_month('sold_at'),
    cluster_by=['product_key', 'customer_key'],
    post_hook=[
        "{{ delete_vanished(['channel', 'order_id', 'line_id'], ref('int_order_lines')) }}",
        "{{ delete_vanished(['channel', 'order_id'], ref('fct_orders'), 'input.is_sale') }}",
    ],
) }}

with

order_lines as (

    select * from {{ ref('int_order_lines') }}

),

orders as (

    select * from {{ ref('fct_orders') }}

),

products as (

    select * from {{ ref('dim_products') }}

),

sellers as (

    select * from {{ ref('dim_sellers') }}

),

promotions as (

    select * from {{ ref('dim_promotions') }}

),

{% if is_incremental() %}

    built as (

        select * from {{ this }}

    ),

    changed as (
        -- Those that are new, or of which something is known that was not when they were built.
        select
            orders.channel,
            orders.order_id
        from orders

        left join built
            on
                orders.channel = built.channel
                and orders.order_id = built.order_id
                and orders.customer_key = built.customer_key
                and orders.payment_key = built.payment_key
                and orders.loaded_at = built.loaded_at

        where
            orders.is_sale
            and built.order_id is null

        union distinct

        -- Those whose product, seller or promotion had another version at the time than they name.
        select
            built.channel,
            built.order_id
        from built

        left join products
            on
                built.product_key = products.product_key
                and built.channel = products.channel
                and {{ is_valid_at('products', 'built.sold_at') }}

        left join sellers
            on
                built.seller_key = sellers.seller_key
                and built.channel = sellers.channel
                and {{ is_valid_at('sellers', 'built.sold_at') }}

        left join promotions
            on
                built.promotion_key = promotions.promotion_key
                and promotions.promotion_key != {{ unknown_key() }}
                and {{ is_valid_at('promotions', 'built.sold_at') }}

        where
            products.product_key is null
            or sellers.seller_key is null
            or promotions.promotion_key is null

        {{ orders_of_days('orders') }}

    ),

{% endif %}

lines as (

    select
        order_lines.channel,
        order_lines.order_id,
        order_lines.line_id,
        order_lines.product_id,
        order_lines.promotion_id,
        order_lines.quantity,
        order_lines.unit_price,
        order_lines.gross_amount,
        order_lines.discount_amount,
        order_lines.refunded_quantity,
        order_lines.refunded_amount,
        orders.order_key,
        orders.customer_key,
        orders.payment_key,
        orders.status,
        orders.currency_code,
        orders.ordered_at as sold_at,
        orders.loaded_at,
        greatest(orders.updated_at, order_lines.updated_at) as updated_at

    from order_lines

    inner join orders
        on
            order_lines.channel = orders.channel
            and order_lines.order_id = orders.order_id

    {% if is_incremental() %}

        inner join changed
            on
                order_lines.channel = changed.channel
                and order_lines.order_id = changed.order_id

    {% endif %}

    where orders.is_sale

),

described as (

    select

        lines.*,
        coalesce(products.product_key, {{ unknown_key() }}) as product_key,
        coalesce(sellers.seller_key, {{ unknown_key() }}) as seller_key,
        case
            when lines.promotion_id is null then 'none'
            else coalesce(promotions.promotion_key, {{ unknown_key() }})
        end as promotion_key,
        {{ unit_discount(
            'promotions', 'lines.unit_price', 'lines.currency_code', 'lines.sold_at'
        ) }} as unit_discount

    from lines

    left join products
        on
            lines.channel = products.channel
            and lines.product_id = products.product_id
            and {{ is_valid_at('products', 'lines.sold_at') }}

    left join sellers
        on
            lines.channel = sellers.channel
            -- The storefront is one seller, without a number.
            and coalesce(products.seller_id, 0) = coalesce(sellers.seller_id, 0)
            and {{ is_valid_at('sellers', 'lines.sold_at') }}

    left join promotions
        on
            lines.promotion_id = promotions.promotion_id
            and {{ is_valid_at('promotions', 'lines.sold_at') }}

),

-- The app keeps the promotion, so what it took off one unit is exact, and off all units a multiple.
-- The storefront keeps what it took off all units, which need not be a multiple.
discounted as (

    select

        *,
        coalesce(discount_amount, quantity * unit_discount) as extended_discount_amount,
        case
            when discount_amount is null then {{ to_numeric('unit_discount', 28, 6) }}
            else coalesce({{ quotient('discount_amount', 'quantity', 28, 6) }}, 0)
        end as discount_unit_price

    from described

),

final as (

    select

        ---------- ids
        {{ sale_key() }} as sale_key,
        order_key,
        order_id,
        line_id,
        product_key,
        seller_key,
        customer_key,
        promotion_key,
        payment_key,

        ---------- strings
        channel,
        currency_code,

        ---------- numerics
        cast(quantity as int64) as sales_quantity,
        {{ to_numeric('unit_price', 28, 6) }} as regular_unit_price,
        {{ to_numeric('discount_unit_price', 28, 6) }} as discount_unit_price,
        {{ to_numeric('unit_price - discount_unit_price', 28, 6) }} as net_unit_price,
        {{ to_numeric('gross_amount', 28, 2) }} as extended_sales_amount,
        {{ to_numeric('extended_discount_amount', 28, 2) }} as extended_discount_amount,
        {{ to_numeric('gross_amount - extended_discount_amount', 28, 2) }} as extended_net_amount,
        cast(case
            when refunded_quantity is not null then refunded_quantity
            when status = 'refunded' then quantity
            else 0
        end as int64) as refunded_quantity,
        {{ to_numeric("case
            when refunded_amount is not null then refunded_amount
            when status = 'refunded' then gross_amount - extended_discount_amount
            else 0
        end", 28, 2) }} as refunded_amount,

        ---------- dates
        cast(sold_at as date) as sold_on,

        ---------- timestamps
        sold_at,
        updated_at,
        loaded_at

    from discounted

)

select * from final

{{ config(
    materialized='incremental',
    incremental_strategy='merge',
    unique_key='order_key',
    merge_exclude_columns=['order_key'],
    on_schema_change='fail',
    partition_by=partition_by_month('ordered_at'),
    cluster_by=['customer_key', 'order_key'],
    post_hook="{{ delete_vanished(['channel', 'order_id'], ref('int_orders')) }}",
) }}

with

all_orders as (

    select * from {{ ref('int_orders') }}

),

order_lines as (

    select * from {{ ref('int_order_lines') }}

),

loads as (

    select
        channel,
        order_id,
        changed_at as loaded_at
    from {{ ref('int_order_changes') }}

),

person_accounts as (

    select * from {{ ref('int_person_accounts') }}

),

customers as (

    select * from {{ ref('dim_customers') }}

),

payments as (

    select * from {{ ref('dim_payments') }}

),

accounts as (

    select
        case source_system when 'rainbow' then 'app' else source_system end as channel,
        account_id as customer_id,
        person_key
    from person_accounts

),

{% if is_incremental() %}

    built as (

        select * from {{ this }}

    ),

    changed as (

        -- Those of which something is known that was not when they were built.
        select
            loads.channel,
            loads.order_id
        from loads

        left join built
            on
                loads.channel = built.channel
                and loads.order_id = built.order_id
                and loads.loaded_at = built.loaded_at

        where built.order_key is null

        union distinct

        -- Those whose customer or payment method had another version at the time than they name.
        select
            built.channel,
            built.order_id
        from built

        left join accounts
            on
                built.channel = accounts.channel
                and built.customer_id = accounts.customer_id

        left join customers
            on
                built.customer_key = customers.customer_key
                and accounts.person_key = customers.person_key
                and {{ is_valid_at('customers', 'built.ordered_at') }}

        left join payments
            on
                built.payment_key = payments.payment_key
                and built.channel = payments.channel
                and {{ is_valid_at('payments', 'built.ordered_at') }}

        where
            payments.payment_key is null
            or (built.customer_id is not null and customers.customer_key is null)

        {{ orders_of_days('all_orders') }}

    ),

{% endif %}

orders as (

    select all_orders.*
    from all_orders

    {% if is_incremental() %}

        inner join changed
            on
                all_orders.channel = changed.channel
                and all_orders.order_id = changed.order_id

    {% endif %}

),

line_totals as (

    select

        order_lines.channel,
        order_lines.order_id,
        count(*) as line_count,
        sum(order_lines.quantity) as quantity,
        sum(order_lines.gross_amount) as gross_amount

    from order_lines

    inner join orders
        on
            order_lines.channel = orders.channel
            and order_lines.order_id = orders.order_id

    group by order_lines.channel, order_lines.order_id

),

final as (

    select

        ---------- ids
        orders.order_key,
        orders.order_id,
        orders.customer_id,
        coalesce(customers.customer_key, {{ unknown_key() }}) as customer_key,
        coalesce(payments.payment_key, {{ unknown_key() }}) as payment_key,

        ---------- strings
        orders.channel,
        orders.status,
        orders.currency_code,

        ---------- numerics
        coalesce(line_totals.line_count, 0) as line_count,
        cast(coalesce(line_totals.quantity, 0) as int64) as quantity,
        {{ to_numeric('coalesce(line_totals.gross_amount, 0)', 28, 2) }} as gross_amount,

        ---------- booleans
        orders.is_sale,

        ---------- timestamps
        orders.ordered_at,
        orders.updated_at,
        loads.loaded_at

    from orders

    inner join loads
        on
            orders.channel = loads.channel
            and orders.order_id = loads.order_id

    left join line_totals
        on
            orders.channel = line_totals.channel
            and orders.order_id = line_totals.order_id

    left join accounts
        on
            orders.channel = accounts.channel
            and orders.customer_id = accounts.customer_id

    left join customers
        on
            accounts.person_key = customers.person_key
            and {{ is_valid_at('customers', 'orders.ordered_at') }}

    left join payments
        on
            orders.channel = payments.channel
            -- A number in the app, a name at the storefront.
            and coalesce(cast(orders.payment_id as string), orders.payment_method)
            = coalesce(cast(payments.payment_id as string), payments.payment_method)
            and {{ is_valid_at('payments', 'orders.ordered_at') }}

)

select * from final

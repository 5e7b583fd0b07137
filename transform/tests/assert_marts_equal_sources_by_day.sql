{{ config(meta={'dagster': {'ref': {'name': 'fact_sales'}}}) }}

-- For each day, kind of row and currency: as many rows, and as much money, as the sources have.
with

orders as (

    select * from {{ source('rainbow', 'orders') }}
    where _sdc_deleted_at is null

),

order_details as (

    select * from {{ source('rainbow', 'order_details') }}
    where _sdc_deleted_at is null

),

shopify_orders as (

    select * from {{ source('shopify', 'orders') }}
    where _sdc_deleted_at is null

),

shopify_lines as (

    {{ json_elements(
        'shopify_orders',
        ['currencyCode', 'test', 'displayFinancialStatus', 'processedAt'],
        'lineItems',
        'line'
    ) }}

),

transactions as (

    select * from {{ source('lana', 'transactions') }}
    where _sdc_deleted_at is null

),

facilities as (

    select * from {{ source('lana', 'facilities') }}
    where _sdc_deleted_at is null

),

expected as (

    select
        'sales in the app' as kind,
        cast(orders.created_at as date) as day,
        orders.currency_code,
        count(*) as row_count,
        sum(order_details.quantity * order_details.price) as amount
    from order_details
    inner join orders
        on order_details.order_id = orders.order_id
    where orders.status in ('paid', 'shipped', 'completed', 'refunded')
    group by 1, 2, 3

    union all

    select
        'sales at the storefront' as kind,
        cast(processedAt as date) as day,
        currencyCode as currency_code,
        count(*) as row_count,
        sum({{ json_numeric('line', '$.originalTotalSet.shopMoney.amount') }}) as amount
    from shopify_lines
    where
        not test
        and upper(displayFinancialStatus)
        in ('PAID', 'PARTIALLY_PAID', 'PARTIALLY_REFUNDED', 'REFUNDED')
    group by 1, 2, 3

    union all

    select
        'orders in the app' as kind,
        cast(created_at as date) as day,
        currency_code,
        count(*) as row_count,
        0 as amount
    from orders
    group by 1, 2, 3

    union all

    select
        'orders at the storefront' as kind,
        cast(processedAt as date) as day,
        currencyCode as currency_code,
        count(*) as row_count,
        0 as amount
    from shopify_orders
    group by 1, 2, 3

    union all

    select
        type as kind,
        cast(transaction_date as date) as day,
        currency_code,
        count(*) as row_count,
        sum(amount) as amount
    from transactions
    group by 1, 2, 3

    union all

    select
        'facilities' as kind,
        opened_on as day,
        currency_code,
        count(*) as row_count,
        sum(principal_amount) as amount
    from facilities
    group by 1, 2, 3

),

found as (

    select
        case channel
            when 'app' then 'sales in the app'
            else 'sales at the storefront'
        end as kind,
        sold_on as day,
        currency_code,
        count(*) as row_count,
        sum(extended_sales_amount) as amount
    from {{ ref('fact_sales') }}
    group by 1, 2, 3

    union all

    select
        case channel
            when 'app' then 'orders in the app'
            else 'orders at the storefront'
        end as kind,
        cast(ordered_at as date) as day,
        currency_code,
        count(*) as row_count,
        0 as amount
    from {{ ref('fct_orders') }}
    group by 1, 2, 3

    union all

    select
        transaction_type as kind,
        cast(transacted_at as date) as day,
        currency_code,
        count(*) as row_count,
        sum(amount) as amount
    from {{ ref('fct_transactions') }}
    where transaction_type in ('DEPOSIT', 'WITHDRAWAL')
    group by 1, 2, 3

    union all

    select
        'DISBURSAL' as kind,
        cast(disbursed_at as date) as day,
        currency_code,
        count(*) as row_count,
        sum(amount) as amount
    from {{ ref('fct_disbursals') }}
    group by 1, 2, 3

    union all

    select
        'PAYMENT' as kind,
        cast(paid_at as date) as day,
        currency_code,
        count(*) as row_count,
        sum(amount) as amount
    from {{ ref('fct_payments') }}
    group by 1, 2, 3

    union all

    select
        'facilities' as kind,
        opened_on as day,
        currency_code,
        count(*) as row_count,
        sum(principal_amount) as amount
    from {{ ref('fct_facilities') }}
    group by 1, 2, 3

),

final as (

    select

        coalesce(expected.kind, found.kind) as kind,
        coalesce(expected.day, found.day) as day,
        coalesce(expected.currency_code, found.currency_code) as currency_code,
        expected.row_count as expected_rows,
        found.row_count as found_rows,
        expected.amount as expected_amount,
        found.amount as found_amount

    from expected

    full outer join found
        on
            expected.kind = found.kind
            and expected.day = found.day
            and expected.currency_code = found.currency_code

    where
        coalesce(expected.row_count, 0) != coalesce(found.row_count, 0)
        or coalesce(expected.amount, 0) != coalesce(found.amount, 0)

)

select * from final

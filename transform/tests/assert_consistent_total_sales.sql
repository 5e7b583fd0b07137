{{ config(meta={'dagster': {'ref': {'name': 'total_sales'}}}) }}
-- The report equals the raw order lines, by channel and currency. It reads the sources, and repeats
-- which statuses are sales, on purpose: nothing between the two is taken on trust.
with

orders as (

    select * from {{ source('rainbow', 'orders') }}

),

order_details as (

    select * from {{ source('rainbow', 'order_details') }}

),

shopify_orders as (

    select * from {{ source('shopify', 'orders') }}

),

shopify_lines as (

    {{ json_elements(
        'shopify_orders',
        ['currencyCode', 'test', 'displayFinancialStatus', 'processedAt', '_sdc_deleted_at'],
        'lineItems',
        'line'
    ) }}

),

reported as (

    select * from {{ ref('total_sales') }}

),

expected as (

    select

        'app' as channel,
        orders.currency_code,
        sum(order_details.quantity * order_details.price) as total_sales

    from order_details

    inner join orders
        on order_details.order_id = orders.order_id

    where
        orders._sdc_deleted_at is null
        and order_details._sdc_deleted_at is null
        and orders.status not in ('pending', 'cancelled')

    group by orders.currency_code

    union all

    select

        'shopify' as channel,
        currencyCode as currency_code,
        sum({{ json_numeric('line', '$.originalTotalSet.shopMoney.amount') }}) as total_sales

    from shopify_lines

    where
        _sdc_deleted_at is null
        and not test
        and upper(displayFinancialStatus)
        not in ('PENDING', 'AUTHORIZED', 'VOIDED', 'EXPIRED')

    group by currencyCode

),

final as (

    select

        expected.total_sales as expected,
        reported.total_sales as reported,
        coalesce(expected.channel, reported.channel) as channel,
        coalesce(expected.currency_code, reported.currency_code) as currency_code

    from expected

    full outer join reported
        on
            expected.channel = reported.channel
            and expected.currency_code = reported.currency_code

    where coalesce(expected.total_sales, 0) != coalesce(reported.total_sales, 0)

)

select * from final

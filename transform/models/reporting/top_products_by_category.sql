with

sales as (

    select * from {{ ref('fact_sales') }}

),

products as (

    select * from {{ ref('dim_products') }}

),

totals as (

    select

        products.channel,
        products.category_id,
        products.category_name,
        products.product_id,
        sales.currency_code,
        count(distinct sales.order_key) as order_count,
        cast(sum(sales.sales_quantity) as int64) as quantity,
        sum(sales.extended_sales_amount) as total_sales,
        sum(sales.extended_discount_amount) as discounts,
        sum(sales.extended_net_amount) as net_sales,
        sum(sales.refunded_amount) as refunds,
        sum(sales.extended_net_amount - sales.refunded_amount) as net_after_refunds

    from sales

    inner join products
        on sales.product_key = products.product_key

    where products.channel is not null

    group by
        products.channel,
        products.category_id,
        products.category_name,
        products.product_id,
        sales.currency_code

),

-- A product that is gone has the name it had last.
names as (

    select
        channel,
        product_id,
        product_name
    from products
    qualify row_number() over (partition by channel, product_id order by valid_from desc) = 1

),

final as (

    select

        totals.channel,
        totals.category_id,
        totals.category_name,
        totals.currency_code,
        row_number() over (
            partition by
                totals.channel, totals.category_id, totals.category_name, totals.currency_code
            order by totals.net_sales desc, totals.quantity desc, totals.product_id asc
        ) as product_rank,
        totals.product_id,
        names.product_name,
        totals.order_count,
        totals.quantity,
        totals.total_sales,
        totals.discounts,
        totals.net_sales,
        totals.refunds,
        totals.net_after_refunds

    from totals

    inner join names
        on
            totals.channel = names.channel
            and totals.product_id = names.product_id

    qualify product_rank <= 5

)

select * from final

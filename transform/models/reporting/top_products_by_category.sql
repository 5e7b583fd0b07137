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
        {{ sales_measures() }}

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

names as (

    {{ last_names('products', 'product_id', 'product_name') }}

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
        totals.returns,
        totals.net_after_returns

    from totals

    inner join names
        on
            totals.channel = names.channel
            and totals.product_id = names.product_id

    qualify product_rank <= 5

)

select * from final

with

sales as (

    select * from {{ ref('fact_sales') }}

),

sellers as (

    select * from {{ ref('dim_sellers') }}

),

totals as (

    select

        sellers.channel,
        sellers.seller_id,
        sales.currency_code,
        count(distinct sales.order_key) as order_count,
        cast(sum(sales.sales_quantity) as int64) as quantity,
        sum(sales.extended_sales_amount) as total_sales,
        sum(sales.extended_discount_amount) as discounts,
        sum(sales.extended_net_amount) as net_sales,
        sum(sales.refunded_amount) as refunds,
        sum(sales.extended_net_amount - sales.refunded_amount) as net_after_refunds

    from sales

    inner join sellers
        on sales.seller_key = sellers.seller_key

    where sellers.channel is not null

    group by sellers.channel, sellers.seller_id, sales.currency_code

),

-- A seller who is gone has the name they had last.
names as (

    select
        channel,
        coalesce(seller_id, 0) as seller_id,
        seller_name
    from sellers
    qualify row_number() over (partition by channel, seller_id order by valid_from desc) = 1

),

final as (

    select

        row_number() over (
            partition by totals.currency_code
            order by
                totals.net_sales desc,
                totals.quantity desc,
                totals.channel asc,
                totals.seller_id asc
        ) as seller_rank,
        totals.channel,
        totals.seller_id,
        names.seller_name,
        totals.currency_code,
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
            and coalesce(totals.seller_id, 0) = names.seller_id

    qualify seller_rank <= 10

)

select * from final

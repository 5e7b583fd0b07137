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
        {{ sales_measures() }}

    from sales

    inner join sellers
        on sales.seller_key = sellers.seller_key

    where sellers.channel is not null

    group by sellers.channel, sellers.seller_id, sales.currency_code

),

names as (

    {{ last_names('sellers', 'seller_id', 'seller_name') }}

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
        totals.returns,
        totals.net_after_returns

    from totals

    inner join names
        on
            totals.channel = names.channel
            and coalesce(totals.seller_id, 0) = names.seller_id

    qualify seller_rank <= 10

)

select * from final

with

sales as (

    select * from {{ ref('fact_sales') }}

),

periods as (

    select * from {{ ref('period_dates') }}
    where period_type != 'day'

),

products as (

    select * from {{ ref('dim_products') }}

),

days as (

    {{ days_of_sales('product_key') }}

),

totals as (

    select

        periods.period,
        products.channel,
        days.currency_code,
        coalesce(nullif(products.category_name, ''), 'No category') as category_name,
        products.product_id,
        {{ sums_of_days() }}

    from days

    inner join periods
        on days.sold_on = periods.date_day

    inner join products
        on days.product_key = products.product_key

    where products.channel is not null

    group by
        periods.period,
        products.channel,
        days.currency_code,
        coalesce(nullif(products.category_name, ''), 'No category'),
        products.product_id

),

names as (

    {{ last_names('products', 'product_id', 'product_name') }}

),

final as (

    select

        totals.period,
        totals.channel,
        totals.currency_code,
        totals.category_name,
        row_number() over (
            partition by totals.period, totals.channel, totals.currency_code, totals.category_name
            order by totals.net_sales desc, totals.quantity desc, totals.product_id asc
        ) as product_rank,
        totals.product_id,
        names.product_name,
        totals.order_count,
        totals.quantity,
        totals.net_sales,
        totals.returns

    from totals

    inner join names
        on
            totals.channel = names.channel
            and totals.product_id = names.product_id

    qualify product_rank <= 5

)

select * from final

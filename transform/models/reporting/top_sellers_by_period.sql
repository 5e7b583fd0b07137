with

sales as (

    select * from {{ ref('fact_sales') }}

),

periods as (

    select * from {{ ref('period_dates') }}
    where period_type != 'day'

),

sellers as (

    select * from {{ ref('dim_sellers') }}

),

days as (

    {{ days_of_sales('seller_key') }}

),

totals as (

    select

        periods.period,
        coalesce(days.channel, 'all') as channel,
        days.currency_code,
        sellers.channel as seller_channel,
        sellers.seller_id,
        {{ sums_of_days() }}

    from days

    inner join periods
        on days.sold_on = periods.date_day

    inner join sellers
        on days.seller_key = sellers.seller_key

    where sellers.channel is not null

    group by grouping sets (
        (periods.period, days.currency_code, sellers.channel, sellers.seller_id),
        (periods.period, days.currency_code, sellers.channel, sellers.seller_id, days.channel)
    )

),

names as (

    {{ last_names('sellers', 'seller_id', 'seller_name') }}

),

final as (

    select

        totals.period,
        totals.channel,
        totals.currency_code,
        row_number() over (
            partition by totals.period, totals.channel, totals.currency_code
            order by
                totals.net_sales desc,
                totals.quantity desc,
                totals.seller_channel asc,
                totals.seller_id asc
        ) as seller_rank,
        totals.seller_id,
        names.seller_name,
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
            totals.seller_channel = names.channel
            and coalesce(totals.seller_id, 0) = names.seller_id

    qualify seller_rank <= 10

)

select * from final

with

customers as (

    select * from {{ ref('dim_customers') }}
    where
        is_current
        and customer_key != {{ unknown_key() }}

),

known as (

    select
        rainbow_customer_id is not null as is_in_app,
        shopify_customer_id is not null as is_in_shopify,
        lana_customer_id is not null as is_in_lana
    from customers

),

named as (

    select
        case
            when is_in_app and is_in_shopify and is_in_lana then 'App, Shopify and Lana'
            when is_in_app and is_in_shopify then 'App and Shopify'
            when is_in_app and is_in_lana then 'App and Lana'
            when is_in_shopify and is_in_lana then 'Shopify and Lana'
            when is_in_app then 'App only'
            when is_in_shopify then 'Shopify only'
            else 'Lana only'
        end as systems,
        cast(is_in_app as int64) + cast(is_in_shopify as int64) + cast(is_in_lana as int64)
            as system_count
    from known

),

totals as (

    select
        systems,
        system_count,
        count(*) as customer_count
    from named
    group by systems, system_count

),

final as (

    select

        *,
        {{ to_numeric('customer_count / sum(customer_count) over ()', 18, 6) }}
            as share_of_customers

    from totals

)

select * from final

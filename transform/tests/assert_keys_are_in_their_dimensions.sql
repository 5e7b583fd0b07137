{{ config(meta={'dagster': {'ref': {'name': 'fact_sales'}}}) }}

-- Each key of a fact is in its dimension, and names the version that was valid at the time. A day
-- is in the calendar, a sale's order among the orders, with the same customer and payment.
{%- set keys = [
    ('fct_orders', 'ordered_at', 'customer_key', 'dim_customers'),
    ('fct_orders', 'ordered_at', 'payment_key', 'dim_payments'),
    ('fact_sales', 'sold_at', 'product_key', 'dim_products'),
    ('fact_sales', 'sold_at', 'seller_key', 'dim_sellers'),
    ('fact_sales', 'sold_at', 'promotion_key', 'dim_promotions'),
    ('fct_transactions', 'transacted_at', 'customer_key', 'dim_customers'),
    ('fct_disbursals', 'disbursed_at', 'customer_key', 'dim_customers'),
    ('fct_payments', 'paid_at', 'customer_key', 'dim_customers'),
    ('fct_facilities', none, 'customer_key', 'dim_customers'),
] %}

{% for fact, at, key, dimension in keys %}
    select
        '{{ fact }}.{{ key }}' as what,
        fact.{{ key }} as orphan,
        count(*) as row_count
    from {{ ref(fact) }} as fact
    left join {{ ref(dimension) }} as dimension
        on
            fact.{{ key }} = dimension.{{ key }}
            {%- if at %}
                and {{ is_valid_at('dimension', 'fact.' ~ at) }}
            {%- endif %}
    where dimension.{{ key }} is null
    group by fact.{{ key }}

    union all

{% endfor %}

select
    'fact_sales.sold_on' as what,
    cast(sales.sold_on as {{ dbt.type_string() }}) as orphan,
    count(*) as row_count
from {{ ref('fact_sales') }} as sales
left join {{ ref('dim_dates') }} as dates
    on sales.sold_on = dates.date_day
where dates.date_day is null
group by sales.sold_on

union all

select
    'fact_sales.order_key' as what,
    sales.order_key as orphan,
    count(*) as row_count
from {{ ref('fact_sales') }} as sales
left join {{ ref('fct_orders') }} as orders
    on
        sales.channel = orders.channel
        and sales.order_id = orders.order_id
        and sales.customer_key = orders.customer_key
        and sales.payment_key = orders.payment_key
        and sales.sold_at = orders.ordered_at
        and orders.is_sale
where
    orders.order_key is null
    or orders.order_key != sales.order_key
group by sales.order_key

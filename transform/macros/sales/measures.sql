{#- What the lines of `sales` come to: the columns that every report on sales shares. -#}
{% macro sales_measures() -%}
    count(distinct sales.order_key) as order_count,
    cast(sum(sales.sales_quantity) as int64) as quantity,
    sum(sales.extended_sales_amount) as total_sales,
    sum(sales.extended_discount_amount) as discounts,
    sum(sales.extended_net_amount) as net_sales,
    sum(sales.refunded_amount) as returns,
    sum(sales.extended_net_amount - sales.refunded_amount) as net_after_returns
{%- endmacro %}

{#-
    The measures of `sales` for each day, channel and currency, and for each value of a key if one is named. Reports by
    period sum these, as `days`: to tell apart the orders of all lines, for each kind of period, takes ten times as
    long.
-#}
{% macro days_of_sales(key=none) -%}
    {%- set columns = ['sales.sold_on', 'sales.channel', 'sales.currency_code'] + (['sales.' ~ key] if key else []) -%}
    select
        {{ columns | join(', ') }},
        {{ sales_measures() }}
    from sales
    group by {{ columns | join(', ') }}
{%- endmacro %}

{#- What `days` come to. An order is of one day, so that its count adds up too. -#}
{% macro sums_of_days() -%}
    cast(sum(days.order_count) as int64) as order_count,
    cast(sum(days.quantity) as int64) as quantity,
    sum(days.total_sales) as total_sales,
    sum(days.discounts) as discounts,
    sum(days.net_sales) as net_sales,
    sum(days.returns) as returns,
    sum(days.net_after_returns) as net_after_returns
{%- endmacro %}

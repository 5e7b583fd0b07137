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

{#- An order's key across the channels, such as `app-17`. -#}
{% macro order_key() -%}
    {{ dbt.concat(['channel', "'-'", 'cast(order_id as ' ~ dbt.type_string() ~ ')']) }}
{%- endmacro %}

{#- A line's key across the channels: `app-17-4` is product 4 in order 17, `shopify-9` the line 9. -#}
{% macro sale_key() -%}
    {%- set order_id = 'cast(order_id as ' ~ dbt.type_string() ~ ')' -%}
    {%- set line_id = 'cast(line_id as ' ~ dbt.type_string() ~ ')' -%}
    case channel
        when 'app' then {{ dbt.concat(["'app-'", order_id, "'-'", line_id]) }}
        else {{ dbt.concat(["'shopify-'", line_id]) }}
    end
{%- endmacro %}

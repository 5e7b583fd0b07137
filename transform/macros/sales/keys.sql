{#- An order's key across the channels, such as `app-17`. -#}
{% macro order_key() -%}
    {{ dbt.concat(['channel', "'-'", 'cast(order_id as ' ~ dbt.type_string() ~ ')']) }}
{%- endmacro %}

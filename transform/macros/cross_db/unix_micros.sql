{#- Microseconds since 1970 of a timestamp, an integer. -#}
{% macro unix_micros(timestamp) -%}
    {{ return(adapter.dispatch('unix_micros')(timestamp)) }}
{%- endmacro %}

{% macro default__unix_micros(timestamp) -%}
    unix_micros({{ timestamp }})
{%- endmacro %}

{% macro duckdb__unix_micros(timestamp) -%}
    epoch_us({{ timestamp }})
{%- endmacro %}

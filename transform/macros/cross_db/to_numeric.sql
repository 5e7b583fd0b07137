{#- An exact number with so many digits, and so many of them after the point. -#}
{% macro to_numeric(expression, precision, scale) -%}
    {{ return(adapter.dispatch('to_numeric')(expression, precision, scale)) }}
{%- endmacro %}

{% macro default__to_numeric(expression, precision, scale) -%}
    cast({{ expression }} as numeric({{ precision }}, {{ scale }}))
{%- endmacro %}

{#- BigQuery takes no parameters in a cast; where there is a contract, it bounds the column. -#}
{% macro bigquery__to_numeric(expression, precision, scale) -%}
    round(cast({{ expression }} as numeric), {{ scale }})
{%- endmacro %}

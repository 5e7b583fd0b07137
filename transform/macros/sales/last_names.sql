{#-
    The name that each member of a dimension had last: one that is gone keeps it. The storefront, a seller
    without a number, has 0.
-#}
{% macro last_names(dimension, id, name) -%}
    select
        channel,
        coalesce({{ id }}, 0) as {{ id }},
        {{ name }}
    from {{ dimension }}
    qualify row_number() over (partition by channel, {{ id }} order by valid_from desc) = 1
{%- endmacro %}

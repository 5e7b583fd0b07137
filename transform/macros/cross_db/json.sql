{#- The text of the scalar at a JSON path, null if there is none. -#}
{% macro json_text(json, path) -%}
    {{ return(adapter.dispatch('json_text')(json, path)) }}
{%- endmacro %}

{% macro default__json_text(json, path) -%}
    ({{ json }} ->> '{{ path }}')
{%- endmacro %}

{% macro bigquery__json_text(json, path) -%}
    json_value({{ json }}, '{{ path }}')
{%- endmacro %}

{#-
    The decimal at a JSON path. One that is a string in the JSON keeps every digit; a JSON number is a
    double in both warehouses, so that only its first 15 digits can be relied on.
-#}
{% macro json_numeric(json, path) -%}
    {{ return(adapter.dispatch('json_numeric')(json, path)) }}
{%- endmacro %}

{% macro default__json_numeric(json, path) -%}
    {{ to_numeric(json_text(json, path), 38, 9) }}
{%- endmacro %}

{#- DuckDB reads text as 64 bits 100 times as fast as as 128, and few amounts need more. -#}
{% macro duckdb__json_numeric(json, path) -%}
    {%- set text = json_text(json, path) -%}
    case
        when regexp_full_match({{ text }}, '-?[0-9]{1,13}([.][0-9]{1,5})?')
            then {{ to_numeric(to_numeric(text, 18, 5), 38, 9) }}
        else {{ default__json_numeric(json, path) }}
    end
{%- endmacro %}

{#-
    A row for each element of the JSON array at a path, under a name, beside the columns to keep; none where
    there is no array. DuckDB would join it to copies of the array: one of thousands would need gigabytes.
-#}
{% macro json_elements(relation, keep, json, name, path='$') -%}
    {{ return(adapter.dispatch('json_elements')(relation, keep, json, name, path)) }}
{%- endmacro %}

{% macro default__json_elements(relation, keep, json, name, path) -%}
    select {{ keep | join(', ') }}, unnest(cast({{ json }} -> '{{ path }}' as json[])) as {{ name }}
    from {{ relation }}
{%- endmacro %}

{% macro bigquery__json_elements(relation, keep, json, name, path) -%}
    select {{ keep | join(', ') }}, {{ name }}
    from {{ relation }}
    cross join unnest(json_query_array({{ json }}, '{{ path }}')) as {{ name }}
{%- endmacro %}

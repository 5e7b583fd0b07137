{#-
    A DuckDB view keeps the text it was made with. One that names the catalog, which is the file's name,
    cannot be read from a copy of the file under another name; so on DuckDB models name schema and table only.
-#}
{% macro ref() %}
    {{ return(adapter.dispatch('portable')(builtins.ref(*varargs, **kwargs))) }}
{% endmacro %}

{#- A unit test's rows stand in a CTE, whatever there is in the warehouse. -#}
{% macro source() %}
    {%- set relation = builtins.source(*varargs) -%}
    {%- if execute and flags.WHICH in ('build', 'run', 'snapshot', 'test') and not relation.is_cte -%}
        {{ return(never_loaded(*varargs) or adapter.dispatch('portable')(relation)) }}
    {%- endif -%}
    {{ return(adapter.dispatch('portable')(relation)) }}
{% endmacro %}

{% macro default__portable(relation) %}
    {{ return(relation) }}
{% endmacro %}

{% macro duckdb__portable(relation) %}
    {{ return(relation.include(database=false)) }}
{% endmacro %}

{#-
    A DuckDB view keeps the text it was made with. One that names the catalog, which is the file's name,
    cannot be read from a copy of the file under another name; so on DuckDB models name schema and table only.
-#}
{% macro ref() %}
    {{ return(adapter.dispatch('portable')(builtins.ref(*varargs, **kwargs))) }}
{% endmacro %}

{% macro source() %}
    {{ return(adapter.dispatch('portable')(builtins.source(*varargs))) }}
{% endmacro %}

{% macro default__portable(relation) %}
    {{ return(relation) }}
{% endmacro %}

{% macro duckdb__portable(relation) %}
    {{ return(relation.include(database=false)) }}
{% endmacro %}

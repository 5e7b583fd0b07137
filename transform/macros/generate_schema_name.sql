{#- The schema a folder declares is the schema it gets, after an optional prefix of the developer's. -#}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ env_var('DBT_SCHEMA_PREFIX', '') }}{{ custom_schema_name | default(target.schema, true) | trim }}
{%- endmacro %}

{#- The schema a folder declares is the schema it gets, after an optional prefix of the developer's. -#}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ schema_prefix() }}{{ custom_schema_name | default(target.schema, true) | trim }}
{%- endmacro %}

{#- As the loader writes it: letters, digits and underscores. The sources' YAML repeats it, being no macro. -#}
{% macro schema_prefix() -%}
    {{ return(modules.re.sub('[^0-9A-Za-z_]', '_', env_var('DBT_SCHEMA_PREFIX', ''))) }}
{%- endmacro %}

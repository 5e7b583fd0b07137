{#-
    dbt compares a contract with its model by casting nulls to the declared types, and BigQuery takes no
    parameters in a cast: there numeric(28, 2) is compared as numeric. The table is created with both.
-#}
{% macro bigquery__get_empty_schema_sql(columns) %}
    {%- set bare = {} -%}
    {%- for name, column in columns.items() -%}
        {%- set type = {'data_type': column['data_type'].split('(')[0]} if column['data_type'] else {} -%}
        {%- do bare.update({name: dict(column, **type)}) -%}
    {%- endfor -%}
    {{ return(dbt.bigquery__get_empty_schema_sql(bare)) }}
{% endmacro %}

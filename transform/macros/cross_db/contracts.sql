{#-
    dbt compares a contract with its model by casting nulls to the declared types, and BigQuery takes no
    parameters in a cast: there numeric(28, 2) is compared as numeric. The table is created with both.
-#}
{% macro bigquery__get_empty_schema_sql(columns) %}
    select
    {%- for column in columns.values() %}
        {%- if not column['data_type'] %}{{ exceptions.column_type_missing([column['name']]) }}{% endif %}
        cast(null as {{ column['data_type'].split('(')[0] }})
        as {{ adapter.quote(column['name']) if column.get('quote') else column['name'] }}
        {{- ',' if not loop.last }}
    {%- endfor %}
{% endmacro %}

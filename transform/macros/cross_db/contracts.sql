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

{#-
    A primary key is declared, and tested, but enforced on neither warehouse: BigQuery never does, and the index that
    DuckDB would make costs a merge minutes instead of seconds. What must not be null is refused by both.
-#}
{% macro duckdb__get_table_columns_and_constraints() %}
    (
        {{ adapter.render_raw_columns_constraints(raw_columns=model['columns']) | join(',\n        ') }}
    )
{% endmacro %}

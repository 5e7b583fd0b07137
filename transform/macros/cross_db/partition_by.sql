{#-
    BigQuery's `partition_by`, a partition a month: a day of these facts would be kilobytes, and one job may
    write no more than 4,000. None on DuckDB, where dbt-duckdb takes the setting for one of its own.
-#}
{% macro partition_by_month(column, data_type='timestamp') %}
    {{ return(adapter.dispatch('partition_by_month')(column, data_type)) }}
{% endmacro %}

{% macro default__partition_by_month(column, data_type) %}
    {{ return(none) }}
{% endmacro %}

{% macro bigquery__partition_by_month(column, data_type) %}
    {{ return({'field': column, 'data_type': data_type, 'granularity': 'month'}) }}
{% endmacro %}

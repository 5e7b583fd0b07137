{#-
    The columns of a source's table that was never loaded, in SQL without rows; none if it was, or if its
    columns have no declared types. So a team without a shop, or on its first load, has models that are
    empty, not errors.
-#}
{% macro never_loaded(source_name, table_name) %}
    {%- set table = graph.sources.values()
        | selectattr('source_name', 'equalto', source_name)
        | selectattr('name', 'equalto', table_name) | first -%}
    {%- set typed = table.columns.values() | selectattr('data_type') | list -%}
    {%- if not typed or load_relation(
        api.Relation.create(table.database, table.schema, table.identifier)
    ) -%}
        {{ return(none) }}
    {%- endif -%}
    {%- set columns = dict(table.columns) -%}
    {%- for name in ['extracted_at', 'received_at', 'batched_at', 'deleted_at'] -%}
        {%- do columns.update({'_sdc_' ~ name: {'name': '_sdc_' ~ name, 'data_type': 'timestamp'}}) -%}
    {%- endfor -%}
    {%- do log(table.schema ~ '.' ~ table.identifier ~ ' was never loaded: it is empty', info=true) -%}
    {{ return('(select * from (' ~ get_empty_schema_sql(columns) ~ ') limit 0)') }}
{% endmacro %}

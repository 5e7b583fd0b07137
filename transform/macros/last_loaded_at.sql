{#-
    When the loader last finished with a source table, from its audit. The rows cannot tell: one that
    did not change keeps the metadata of the load that brought it. The audit knows no prefix.
-#}
{% macro last_loaded_at(table) -%}
    {%- set loads = api.Relation.create(
        database=table.database,
        schema=schema_prefix() ~ '_headwater',
        identifier='loads',
    ) -%}
    select max(loaded_at)
    from {{ loads }}
    where table_schema = '{{ table.schema[schema_prefix() | length:] }}' and table_name = '{{ table.identifier }}'
{%- endmacro %}

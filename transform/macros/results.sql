{#-
    What dbt did, kept in the warehouse: `_headwater.dbt_results` has a row for each node of a run. Who reads
    it through views sees a build as soon as it has ended, well or not.
-#}
{% macro dbt_results() %}
    {{ return(api.Relation.create(
        database=target.database,
        schema=schema_prefix() ~ '_headwater',
        identifier='dbt_results',
    )) }}
{% endmacro %}

{#- Before a run, for the views that it makes. -#}
{% macro create_results() %}
    {% if flags.WHICH != 'freshness' %}
        {% do adapter.create_schema(dbt_results().without_identifier()) %}
        create table if not exists {{ dbt_results() }} (
            invocation_id string,
            run_id string,
            node_id string,
            resource_type string,
            name string,
            status string,
            failures int64,
            seconds numeric(18, 3),
            started_at timestamp,
            ended_at timestamp,
            source_names string
        )
    {% endif %}
{% endmacro %}

{#- For a table that was made when it had no such column. -#}
{% macro widen_results() %}
    {% if flags.WHICH != 'freshness' %}
        alter table {{ dbt_results() }} add column if not exists source_names string
    {% endif %}
{% endmacro %}

{#- After it. A statement may have a megabyte on BigQuery; 1,000 rows have less than half of that. -#}
{% macro record_results(results) %}
    {% set recorded = results | selectattr(
        'node.resource_type', 'in', ['model', 'seed', 'snapshot', 'test', 'unit_test']
    ) | list %}
    {% set known = {} %}
    {% set ended_at = timestamp_utc(modules.datetime.datetime.now(modules.pytz.utc)) %}
    {% for rows in recorded | batch(1000) %}
        {{ ';' if not loop.first }}
        insert into {{ dbt_results() }} (
            invocation_id, run_id, node_id, resource_type, name, status, failures, seconds, started_at, ended_at,
            source_names
        )
        values
        {% for result in rows %}
            {#- A unit test that ran had rows of its own beneath it. -#}
            {% set tested = result.node.tested_node_unique_id %}
            {% set beneath = [tested] if tested else result.node.depends_on_nodes %}
            (
                {{ quoted(invocation_id) }},
                {{ quoted(dbt_metadata_envs.get('DAGSTER_RUN_ID') or env_var('MELTANO_RUN_ID', '')) }},
                {{ quoted(result.node.unique_id) }},
                {{ quoted(result.node.resource_type) }},
                {{ quoted(result.node.name) }},
                {{ quoted(result.status) }},
                {{ 'null' if result.failures is none else result.failures }},
                {{ result.execution_time | round(3) }},
                {{ run_started_at_utc() }},
                {{ ended_at }},
                '{{ source_names(beneath, known) | join(',') }}'
            ){{ ',' if not loop.last }}
        {% endfor %}
    {% endfor %}
{% endmacro %}

{#- The text as SQL, null if it is empty. -#}
{% macro quoted(text) -%}
    {{ "'" ~ dbt.escape_single_quotes(text | string) ~ "'" if text else 'null' }}
{%- endmacro %}

{#-
    The views in `reporting` read `marts` by themselves: their dataset is authorized on it, so that who reads
    them needs no access beneath. Where it is authorized already, dbt says so in a warning.
-#}
{% macro authorize_reporting(results) %}
    {% set dataset = schema_prefix() ~ 'reporting' %}
    {% if results | selectattr('node.schema', 'equalto', dataset) | list %}
        {{ adapter.dispatch('authorize_reporting')() }}
    {% endif %}
{% endmacro %}

{% macro default__authorize_reporting() %}
{% endmacro %}

{% macro bigquery__authorize_reporting() %}
    {%- set reporting = {'projectId': target.project, 'datasetId': schema_prefix() ~ 'reporting'} -%}
    {%- set marts = {'project': target.project, 'dataset': schema_prefix() ~ 'marts'} -%}
    {% do adapter.grant_access_to(
        {'dataset': reporting, 'targetTypes': ['VIEWS']}, 'dataset', none, marts
    ) %}
{% endmacro %}

{#- The dataset of a view's `grant_access_to`: the view reads it by itself, whoever reads the view. -#}
{% macro dataset(name) %}
    {{ return({'project': target.database, 'dataset': schema_prefix() ~ name}) }}
{% endmacro %}

{#- The model has the keys of another relation: none missing, none more. -#}
{% test same_keys(model, key, of) %}
    (
        select {{ key }} from {{ of }}
        {{ dbt.except() }}
        select {{ key }} from {{ model }}
    )
    union all
    (
        select {{ key }} from {{ model }}
        {{ dbt.except() }}
        select {{ key }} from {{ of }}
    )
{% endtest %}

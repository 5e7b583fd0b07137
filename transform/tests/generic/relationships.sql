{#-
    dbt's own test, as a warning: two tables are read from a live source at two moments, so a child may
    arrive one run before its parent. A row that is lost for good turns reconcile red.
-#}
{% test relationships(model, column_name, to, field) %}
    {{ config(severity='warn') }}
    {{ default__test_relationships(model, column_name, to, field) }}
{% endtest %}

{#-
    Where orders do not have the lines that Shopify counted: which, and the command that reads them again. Its
    state is its own, so that the nights go on where they are.
-#}
{% macro name_lost_orders(results) %}
    {% for result in results
        if result.node.name == 'assert_complete_order_lines' and result.status == 'fail' %}
        {% set orders = run_query(result.node.compiled_code ~ ' order by updated_at, order_name') %}
        {% set names = orders.columns['order_name'].values() %}
        {% set since = orders.columns['updated_at'].values()[0].strftime('%Y-%m-%dT%H:%M:%SZ') %}
        {% set loader = 'target-duckdb' if target.type == 'duckdb' else 'target-bigquery' %}
        {% do log(
            "Failure in the lines of " ~ names | length ~ " orders: " ~ names[:5] | join(', ')
            ~ (', …' if names | length > 5 else '') ~ "; read it again: TAP_SHOPIFY_START_DATE=" ~ since
            ~ " TAP_SHOPIFY__SELECT_FILTER='[\"orders\"]' meltano run --full-refresh"
            ~ " --state-id-suffix=repair tap-shopify lines-to-orders " ~ loader,
            info=True
        ) %}
    {% endfor %}
{% endmacro %}

{#-
    What the incremental facts of `marts/sales` share. Such a fact holds what a full build would, row for row:
    - orders of which anything was loaded, or marked as deleted, since they were built, are built again;
    - so are orders that name a version of a dimension which is not the one valid at the time any more, or a
      member that was unknown: history can become known late. Each fact says which;
    - so are those of a range of days, if one is given: `--vars '{from_day: 2026-05-01, to_day: 2026-05-31}'`,
      both included (`orders_of_days`, to be added to a list of orders);
    - a row that a full build would not have is removed (`delete_vanished`).
-#}
{% macro orders_of_days(orders) %}
    {%- set from_day, to_day = var('from_day', none), var('to_day', none) -%}
    {%- if (from_day is none) != (to_day is none) -%}
        {{ exceptions.raise_compiler_error("a range of days has both, from_day and to_day") }}
    {%- endif -%}
    {% if from_day is not none -%}
        union distinct

        select
            channel,
            order_id
        from {{ orders }}
        where
            cast(ordered_at as date) >= cast('{{ from_day }}' as date)
            and cast(ordered_at as date) <= cast('{{ to_day }}' as date)
    {%- endif %}
{% endmacro %}

{#- As a post-hook: removes rows whose key its input has no more, or not among those that a condition is true for. -#}
{% macro delete_vanished(key, input, condition=none) %}
    {% if is_incremental() %}
        delete from {{ this }} as built
        where not exists (
            select 1
            from {{ input }} as input
            where
                {% for column in key %}input.{{ column }} = built.{{ column }}{{ ' and ' if not loop.last }}{% endfor %}
                {{ 'and ' ~ condition if condition }}
        )
    {% endif %}
{% endmacro %}

{#- Whether a version is the one valid at a moment. -#}
{% macro is_valid_at(version, moment) -%}
    {{ moment }} >= {{ version }}.valid_from and {{ moment }} < {{ version }}.valid_to
{%- endmacro %}

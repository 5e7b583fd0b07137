{#-
    The versions of each thing, which the columns of `key` identify: the first from the beginning, none empty,
    none that overlaps the next, the current one until the end of time.
-#}
{% test valid_versions(model, key) %}
    select *
    from (
        select
            {{ key | join(', ') }},
            valid_from,
            valid_to,
            is_current,
            row_number() over (versions order by valid_from) as nth,
            lead(valid_from) over (versions order by valid_from) as next_from
        from {{ model }}
        window versions as (partition by {{ key | join(', ') }})
    ) as versions
    where
        valid_from >= valid_to
        or next_from < valid_to
        or (nth = 1 and valid_from != {{ beginning_of_time() }})
        or is_current != (valid_to = {{ end_of_time() }})
{% endtest %}

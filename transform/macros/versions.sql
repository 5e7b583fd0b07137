{#-
    The versions of a snapshot's rows, with the time each was valid: [valid_from, valid_to).

    dbt's own columns say when a change was seen; these say when it was made, as far as the source knows:
    - A first version is valid from the beginning: nothing older is known.
    - A later one from its `updated_at`. Where that is no later than one seen before (a row restored from a
      backup, a change that left it as it was), from when it was first seen. Never before its predecessor.
    - It ends where the next begins or when the row was deleted, whichever is first; else it is current.
    A row that does nothing but mark its predecessor as deleted ends that version and is none itself. A
    version whose successor begins no later was never valid.

    Gives the snapshot's columns and `valid_from`, `valid_to`, `is_current`.
-#}
{% macro versions(snapshot) %}
    {%- set name = snapshot.identifier | replace('__dbt__cte__', '') -%}
    {%- set node = graph.nodes['snapshot.' ~ project_name ~ '.' ~ name] if execute else {'config': {}} -%}
    {%- set key = node.config.unique_key -%}
    {%- set tracked = (node.config.check_cols or []) | reject('equalto', '_sdc_deleted_at') -%}
    {%- set in_order -%}
        partition by {{ key }} order by dbt_valid_from
    {%- endset %}

    with

    marked as (

        select
            *,
            row_number() over in_order = 1 as is_first,
            max(updated_at) over (
                {{ in_order }} rows between unbounded preceding and 1 preceding
            ) as latest_change,
            coalesce(
                _sdc_deleted_at is not null
                and lag(dbt_scd_id) over in_order is not null
                and lag(_sdc_deleted_at) over in_order is null
                {%- for column in tracked %}
                and {{ column }} is not distinct from lag({{ column }}) over in_order
                {%- endfor %},
                false
            ) as is_deletion

        from {{ snapshot }}

        window in_order as ({{ in_order }})

    ),

    dated as (

        select
            *,
            case
                when is_first then {{ beginning_of_time() }}
                when updated_at > latest_change then updated_at
                else seen_at
            end as begins_at,
            coalesce(
                _sdc_deleted_at,
                case when lead(is_deletion) over in_order then lead(_sdc_deleted_at) over in_order end
            ) as deleted_at

        from marked

        window in_order as ({{ in_order }})

    ),

    begun as (

        select
            *,
            max(begins_at) over (
                {{ in_order }} rows between unbounded preceding and current row
            ) as valid_from

        from dated

        where not is_deletion

    ),

    bounded as (

        select
            *,
            least(
                case when deleted_at is null then {{ end_of_time() }} else greatest(deleted_at, updated_at) end,
                coalesce(lead(valid_from) over ({{ in_order }}), {{ end_of_time() }})
            ) as valid_to

        from begun

    )

    select
        *,
        valid_to = {{ end_of_time() }} as is_current
    from bounded
    where valid_from < valid_to
{% endmacro %}

{% macro beginning_of_time() -%}
    cast('1900-01-01' as timestamp)
{%- endmacro %}

{% macro end_of_time() -%}
    cast('2100-01-01' as timestamp)
{%- endmacro %}

{#- When this dbt run began: the same moment for all that one run sees. -#}
{% macro run_started_at_utc() -%}
    {{ timestamp_utc(run_started_at) }}
{%- endmacro %}

{% macro timestamp_utc(moment) -%}
    cast('{{ moment.strftime("%Y-%m-%d %H:%M:%S.%f") }}' as timestamp)
{%- endmacro %}

{#-
    The key of one version: a hash of what identifies the row (expressions) and of when it became valid. It
    is the same on every warehouse and after a rebuild that finds the same version.
-#}
{% macro version_key(identifiers, valid_from='valid_from') -%}
    {{ entity_key(identifiers + [unix_micros(valid_from)]) }}
{%- endmacro %}

{#- A hash of what identifies something, none of which may be null. -#}
{% macro entity_key(identifiers) -%}
    {%- set parts = [] -%}
    {%- for identifier in identifiers -%}
        {%- do parts.append('cast(' ~ identifier ~ ' as ' ~ dbt.type_string() ~ ')') -%}
        {%- if not loop.last %}{% do parts.append("'|'") %}{% endif -%}
    {%- endfor -%}
    {{ dbt.hash(dbt.concat(parts)) }}
{%- endmacro %}

{#- The key a fact has in a dimension that never saw what the fact names. Every dimension has the member. -#}
{% macro unknown_key() -%}
    'unknown'
{%- endmacro %}

-- A view, so that a build is in it as soon as it has ended; who reads it has no access beneath.
{{ config(materialized='view', grant_access_to=[dataset('staging')]) }}

with

results as (

    select * from {{ ref('stg_headwater__dbt_results') }}

),

final as (

    select

        ---------- ids
        {{ entity_key(['invocation_id', 'node_id']) }} as dbt_result_key,
        coalesce(run_id, invocation_id) as run_id,
        invocation_id,
        node_id,

        ---------- strings
        resource_type,
        node_name,
        case
            when status in ('success', 'pass') then 'passed'
            when status = 'warn' then 'warned'
            when status in ('skipped', 'no-op') then 'skipped'
            else 'failed'
        end as outcome,
        source_names,

        ---------- numerics
        failing_rows,
        seconds,

        ---------- booleans
        resource_type in ('test', 'unit_test') as is_check,
        row_number() over (
            partition by coalesce(run_id, invocation_id), node_id
            order by ended_at desc, invocation_id asc
        ) = 1 as is_final,

        ---------- timestamps
        started_at,
        ended_at

    from results

)

select * from final

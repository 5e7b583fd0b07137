{{ config(grant_access_to=[dataset('_headwater')]) }}

with

source as (

    select * from {{ source('headwater', 'dbt_results') }}

),

final as (

    select

        ---------- ids
        invocation_id,
        run_id,
        node_id,

        ---------- strings
        resource_type,
        name as node_name,
        status,
        source_names,

        ---------- numerics
        failures as failing_rows,
        seconds,

        ---------- timestamps
        started_at,
        ended_at

    from source

)

select * from final

with

results as (

    select * from {{ ref('fct_dbt_results') }}

),

sources as (

    select distinct source_name from {{ ref('pipeline_streams') }}

),

final as (

    select
        'all' as source_name,
        run_id,
        invocation_id,
        node_id,
        resource_type,
        node_name,
        outcome,
        seconds,
        is_check,
        is_final,
        started_at,
        ended_at
    from results

    union all

    select
        sources.source_name,
        results.run_id,
        results.invocation_id,
        results.node_id,
        results.resource_type,
        results.node_name,
        results.outcome,
        results.seconds,
        results.is_check,
        results.is_final,
        results.started_at,
        results.ended_at
    from results
    inner join sources
        on
            results.source_names is null
            or strpos(
                concat(',', results.source_names, ','), concat(',', sources.source_name, ',')
            ) > 0

)

select * from final

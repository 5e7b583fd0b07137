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
        results.*
    from results

    union all

    select
        sources.source_name,
        results.*
    from results
    inner join sources
        on
            results.source_names is null
            or strpos(
                concat(',', results.source_names, ','), concat(',', sources.source_name, ',')
            ) > 0

)

select * from final

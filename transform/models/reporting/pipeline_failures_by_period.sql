with

results as (

    select * from {{ ref('pipeline_results') }}

),

periods as (

    select * from {{ ref('period_dates') }}
    where period_type != 'day'

),

counted as (

    select

        periods.period,
        results.source_name,
        results.node_id,
        results.node_name,
        results.resource_type,
        count(case when results.outcome = 'failed' then 1 end) as failed_count,
        count(case when results.outcome = 'warned' then 1 end) as warned_count,
        max(results.ended_at) as failed_at

    from results

    inner join periods
        on cast(results.ended_at as date) = periods.date_day

    where results.outcome in ('failed', 'warned') and results.is_final

    group by
        periods.period,
        results.source_name,
        results.node_id,
        results.node_name,
        results.resource_type

),

ranked as (

    select
        *,
        row_number() over (
            partition by period, source_name
            order by failed_count desc, warned_count desc, node_id asc
        ) as failure_rank
    from counted

),

final as (

    select
        period,
        source_name,
        failure_rank,
        node_name,
        resource_type,
        failed_count,
        warned_count,
        failed_at
    from ranked
    where failure_rank <= 15

)

select * from final

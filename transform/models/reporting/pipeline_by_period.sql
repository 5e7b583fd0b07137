with

runs as (

    select * from {{ ref('pipeline_runs') }}

),

periods as (

    select * from {{ ref('period_dates') }}
    where period_type != 'day'

),

final as (

    select

        periods.period,
        runs.source_name,
        count(*) as run_count,
        count(case when runs.outcome = 'failed' then 1 end) as failed_run_count,
        cast(sum(runs.rows_received) as int64) as rows_received,
        cast(sum(runs.rows_inserted) as int64) as rows_inserted,
        cast(sum(runs.rows_updated) as int64) as rows_updated,
        cast(sum(runs.rows_deleted) as int64) as rows_deleted,
        cast(sum(runs.rows_lost) as int64) as rows_lost,
        sum(runs.load_seconds) as load_seconds,
        sum(runs.build_seconds) as build_seconds,
        max(runs.run_ended_at) as run_ended_at

    from runs

    inner join periods
        on cast(runs.run_ended_at as date) = periods.date_day

    group by periods.period, runs.source_name

)

select * from final

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
        count(case when runs.rows_lost > 0 then 1 end) as failed_run_count,
        {%- for rows in ['rows_received', 'rows_inserted', 'rows_updated', 'rows_deleted', 'rows_lost'] %}
            cast(sum(runs.{{ rows }}) as int64) as {{ rows }},
        {%- endfor %}
        sum(runs.seconds) as seconds,
        max(runs.run_ended_at) as run_ended_at

    from runs

    inner join periods
        on cast(runs.run_ended_at as date) = periods.date_day

    group by periods.period, runs.source_name

)

select * from final

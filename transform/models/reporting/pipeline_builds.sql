with

results as (

    select * from {{ ref('pipeline_results') }}

),

failures as (

    select
        run_id,
        source_name,
        {{ dbt.listagg('node_name', "', '", 'order by node_name', 5) }} as failed_names
    from results
    where outcome = 'failed' and is_final
    group by run_id, source_name

),

invocations as (

    select distinct
        run_id,
        invocation_id,
        ({{ unix_micros('ended_at') }} - {{ unix_micros('started_at') }}) / 1000000 as seconds
    from results

),

durations as (

    select
        run_id,
        sum(seconds) as seconds
    from invocations
    group by run_id

),

-- Nodes are built side by side: of dbt's time a source has the part of its nodes.
worked as (

    select
        run_id,
        source_name,
        sum(seconds) / nullif(max(sum(seconds)) over (partition by run_id), 0) as share_of_run
    from results
    group by run_id, source_name

),

counted as (

    select

        run_id,
        source_name,
        count(case when is_check then 1 end) as check_count,
        count(case when is_check and outcome = 'passed' then 1 end) as checks_passed,
        count(case when is_check and outcome = 'warned' then 1 end) as checks_warned,
        count(case when is_check and outcome = 'failed' then 1 end) as checks_failed,
        count(case when is_check and outcome = 'skipped' then 1 end) as checks_skipped,
        count(case when not is_check and outcome = 'passed' then 1 end) as models_built,
        count(case when not is_check and outcome != 'passed' then 1 end) as models_not_built,
        max(ended_at) as ended_at,
        count(case when outcome = 'failed' then 1 end) as failed_count,
        count(case when outcome = 'warned' then 1 end) as warned_count

    from results

    where is_final

    group by run_id, source_name

),

final as (

    select

        counted.run_id,
        counted.source_name,
        substr({{ text('cast(counted.ended_at as date)') }}, 1, 7) as period,
        counted.ended_at,
        case
            when counted.failed_count > 0 then 'failed'
            when counted.warned_count > 0 then 'warned'
            else 'passed'
        end as outcome,
        counted.check_count,
        counted.checks_passed,
        counted.checks_warned,
        counted.checks_failed,
        counted.checks_skipped,
        counted.models_built,
        counted.models_not_built,
        failures.failed_names,
        {{ to_numeric('durations.seconds * coalesce(worked.share_of_run, 1)', 18, 3) }} as seconds

    from counted

    inner join durations
        on counted.run_id = durations.run_id

    inner join worked
        on counted.run_id = worked.run_id and counted.source_name = worked.source_name

    left join failures
        on counted.run_id = failures.run_id and counted.source_name = failures.source_name

)

select * from final

with

streams as (

    select * from {{ ref('pipeline_streams') }}

),

builds as (

    select * from {{ ref('pipeline_builds') }}

),

loaded as (

    select

        run_id,
        coalesce(source_name, 'all') as source_name,
        run_ended_at as loaded_at,
        count(*) as stream_count,
        cast(sum(rows_received) as int64) as rows_received,
        cast(sum(rows_inserted) as int64) as rows_inserted,
        cast(sum(rows_updated) as int64) as rows_updated,
        cast(sum(rows_unchanged) as int64) as rows_unchanged,
        cast(sum(rows_deleted) as int64) as rows_deleted,
        cast(sum(source_rows) as int64) as source_rows,
        cast(sum(warehouse_rows) as int64) as warehouse_rows,
        cast(sum(rows_later) as int64) as rows_later,
        cast(sum(rows_lost) as int64) as rows_lost,
        cast(sum(bytes) as int64) as bytes,
        sum(seconds) as seconds

    from streams

    group by grouping sets (
        (run_id, run_ended_at),
        (run_id, run_ended_at, source_name)
    )

),

-- Some runs load and do not build, others build and do not load.
runs as (

    select
        run_id,
        source_name
    from loaded

    union distinct

    select
        run_id,
        source_name
    from builds

),

joined as (

    select

        runs.run_id,
        runs.source_name,
        case
            when loaded.rows_lost > 0 then 'failed'
            else coalesce(builds.outcome, 'not built')
        end as outcome,
        greatest(
            coalesce(loaded.loaded_at, builds.ended_at), coalesce(builds.ended_at, loaded.loaded_at)
        ) as run_ended_at,
        coalesce(loaded.stream_count, 0) as stream_count,
        coalesce(loaded.rows_received, 0) as rows_received,
        coalesce(loaded.rows_inserted, 0) as rows_inserted,
        coalesce(loaded.rows_updated, 0) as rows_updated,
        coalesce(loaded.rows_unchanged, 0) as rows_unchanged,
        coalesce(loaded.rows_deleted, 0) as rows_deleted,
        loaded.source_rows,
        loaded.warehouse_rows,
        loaded.rows_later,
        loaded.rows_lost,
        coalesce(loaded.bytes, 0) as bytes,
        coalesce(loaded.seconds, 0) as load_seconds,
        coalesce(builds.seconds, 0) as build_seconds

    from runs

    left join loaded
        on runs.run_id = loaded.run_id and runs.source_name = loaded.source_name

    left join builds
        on runs.run_id = builds.run_id and runs.source_name = builds.source_name

),

final as (

    select
        *,
        substr({{ text('cast(run_ended_at as date)') }}, 1, 7) as period
    from joined

)

select * from final

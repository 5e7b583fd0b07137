with

streams as (

    select * from {{ ref('pipeline_streams') }}

),

final as (

    select

        run_id,
        coalesce(source_name, 'all') as source_name,
        substr({{ text('cast(run_ended_at as date)') }}, 1, 7) as period,
        run_ended_at,
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

)

select * from final

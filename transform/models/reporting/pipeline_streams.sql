with

loads as (

    select * from {{ ref('fct_loads') }}

),

reconciliations as (

    select * from {{ ref('fct_reconciliations') }}

),

-- A stream belongs to the source whose schema it fills.
sources as (

    select
        stream,
        max(regexp_replace(table_schema, '^raw_', '')) as source_name
    from loads
    group by stream

),

-- What is done without a run is a night of its own.
steps as (

    select
        coalesce(run_id, {{ text('loaded_at') }}) as run_id,
        stream,
        loaded_at as done_at,
        rows_received,
        rows_inserted,
        rows_updated,
        rows_unchanged,
        rows_deleted,
        null as source_rows,
        null as warehouse_rows,
        null as rows_later,
        null as rows_lost,
        bytes,
        seconds
    from loads

    union all

    select
        coalesce(run_id, {{ text('reconciled_at') }}) as run_id,
        stream,
        reconciled_at as done_at,
        0 as rows_received,
        0 as rows_inserted,
        0 as rows_updated,
        0 as rows_unchanged,
        coalesce(rows_deleted, 0) as rows_deleted,
        source_rows,
        warehouse_rows,
        rows_later,
        rows_lost,
        0 as bytes,
        seconds
    from reconciliations

),

final as (

    select

        steps.run_id,
        coalesce(sources.source_name, 'none') as source_name,
        steps.stream,
        cast(sum(steps.rows_received) as int64) as rows_received,
        cast(sum(steps.rows_inserted) as int64) as rows_inserted,
        cast(sum(steps.rows_updated) as int64) as rows_updated,
        cast(sum(steps.rows_unchanged) as int64) as rows_unchanged,
        cast(sum(steps.rows_deleted) as int64) as rows_deleted,
        cast(sum(steps.source_rows) as int64) as source_rows,
        cast(sum(steps.warehouse_rows) as int64) as warehouse_rows,
        cast(sum(steps.rows_later) as int64) as rows_later,
        cast(sum(steps.rows_lost) as int64) as rows_lost,
        cast(sum(steps.bytes) as int64) as bytes,
        sum(steps.seconds) as seconds,
        max(steps.done_at) as done_at,
        max(max(steps.done_at)) over (partition by steps.run_id) as run_ended_at

    from steps

    left join sources
        on steps.stream = sources.stream

    group by steps.run_id, sources.source_name, steps.stream

)

select * from final

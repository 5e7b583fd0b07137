with

streams as (

    select * from {{ ref('pipeline_streams') }}

),

periods as (

    select * from {{ ref('period_dates') }}
    where period_type != 'day'

),

counted as (

    select

        periods.period,
        streams.*,
        sum(streams.rows_received) over in_period as period_rows_received,
        sum(streams.rows_deleted) over in_period as period_rows_deleted,
        sum(streams.rows_lost) over in_period as period_rows_lost,
        row_number() over (
            partition by periods.period, streams.stream
            order by streams.run_ended_at desc, streams.run_id asc
        ) as newest_first

    from streams

    inner join periods
        on cast(streams.run_ended_at as date) = periods.date_day

    window in_period as (partition by periods.period, streams.stream)

),

final as (

    select

        period,
        source_name,
        stream,
        cast(period_rows_received as int64) as rows_received,
        cast(period_rows_deleted as int64) as rows_deleted,
        cast(period_rows_lost as int64) as rows_lost,
        source_rows,
        warehouse_rows,
        rows_later,
        seconds,
        done_at

    from counted

    where newest_first = 1

)

select * from final

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
        {%- for rows in ['rows_received', 'rows_inserted', 'rows_updated', 'rows_unchanged', 'rows_deleted', 'source_rows',
            'warehouse_rows', 'rows_later', 'rows_lost', 'bytes'] %}
            cast(sum({{ rows }}) as int64) as {{ rows }},
        {%- endfor %}
        sum(seconds) as seconds

    from streams

    group by grouping sets (
        (run_id, run_ended_at),
        (run_id, run_ended_at, source_name)
    )

)

select * from final

with

loads as (

    select * from {{ ref('stg_headwater__loads') }}

),

final as (

    select

        ---------- ids
        {{ entity_key(['stream', unix_micros('loaded_at')]) }} as load_key,
        run_id,

        ---------- strings
        stream,
        table_schema,
        table_name,

        ---------- numerics
        rows_received,
        rows_inserted,
        rows_updated,
        rows_unchanged,
        rows_deleted,
        bytes,
        {{ to_numeric('seconds', 18, 3) }} as seconds,

        ---------- timestamps
        loaded_at

    from loads

)

select * from final

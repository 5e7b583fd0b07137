with

source as (

    select * from {{ source('headwater', 'loads') }}

),

final as (

    select

        ---------- ids
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
        seconds,

        ---------- timestamps
        loaded_at

    from source

)

select * from final

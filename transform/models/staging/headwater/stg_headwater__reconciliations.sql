with

source as (

    select * from {{ source('headwater', 'reconciliations') }}

),

final as (

    select

        ---------- ids
        run_id,

        ---------- strings
        stream,
        mode as reconcile_mode,

        ---------- numerics
        source_rows,
        warehouse_rows,
        deleted as rows_deleted,
        later as rows_later,
        lost as rows_lost,
        seconds,

        ---------- timestamps
        reconciled_at

    from source

)

select * from final

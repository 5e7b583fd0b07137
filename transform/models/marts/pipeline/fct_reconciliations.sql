with

reconciliations as (

    select * from {{ ref('stg_headwater__reconciliations') }}

),

final as (

    select

        ---------- ids
        {{ entity_key(['stream', unix_micros('reconciled_at')]) }} as reconciliation_key,
        run_id,

        ---------- strings
        stream,
        reconcile_mode,

        ---------- numerics
        source_rows,
        warehouse_rows,
        rows_deleted,
        rows_later,
        rows_lost,
        {{ to_numeric('seconds', 18, 3) }} as seconds,

        ---------- timestamps
        reconciled_at

    from reconciliations

)

select * from final

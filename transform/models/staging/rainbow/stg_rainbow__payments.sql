with

source as (

    select * from {{ source('rainbow', 'payments') }}

),

final as (

    select

        ---------- ids
        payment_id,

        ---------- strings
        payment_method,

        ---------- numerics
        {{ to_numeric('fee_rate', 9, 6) }} as fee_rate,

        ---------- booleans
        is_active,

        ---------- timestamps
        created_at,
        updated_at

    from source

    where _sdc_deleted_at is null

)

select * from final

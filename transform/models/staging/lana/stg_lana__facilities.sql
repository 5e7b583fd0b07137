with

source as (

    select * from {{ source('lana', 'facilities') }}

),

final as (

    select

        ---------- ids
        facility_id,
        customer_id,

        ---------- strings
        status,
        currency_code,

        ---------- numerics
        principal_amount,
        outstanding_balance,
        annual_rate,

        ---------- dates
        opened_on,

        ---------- timestamps
        created_at,
        updated_at

    from source

    where _sdc_deleted_at is null

)

select * from final

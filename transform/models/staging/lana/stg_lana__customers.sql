with

source as (

    select * from {{ source('lana', 'customers') }}

),

final as (

    select

        ---------- ids
        customer_id,

        ---------- strings
        full_name as customer_name,
        email,
        status,
        customer_type,

        ---------- timestamps
        created_at,
        updated_at

    from source

    where _sdc_deleted_at is null

)

select * from final

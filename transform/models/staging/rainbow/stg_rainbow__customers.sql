with

source as (

    select * from {{ source('rainbow', 'customers') }}

),

final as (

    select

        ---------- ids
        customer_id,

        ---------- strings
        full_name as customer_name,
        email,
        phone,

        ---------- json
        address,

        ---------- dates
        birth_date,

        ---------- booleans
        is_subscribed,

        ---------- timestamps
        created_at,
        updated_at

    from source

    where _sdc_deleted_at is null

)

select * from final

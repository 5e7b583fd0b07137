with

source as (

    select * from {{ source('shopify', 'customers') }}

),

final as (

    select

        ---------- ids
        customer_id,

        ---------- strings
        first_name,
        last_name,
        email,
        phone,
        state,

        ---------- timestamps
        created_at,
        updated_at

    from source

    where _sdc_deleted_at is null

)

select * from final

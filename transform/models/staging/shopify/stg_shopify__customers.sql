with

source as (

    select * from {{ source('shopify', 'customers') }}

),

final as (

    select

        ---------- ids
        {{ shopify_id('id') }} as customer_id,

        ---------- strings
        firstName as first_name,
        lastName as last_name,
        email,
        phone,
        lower(state) as state,

        ---------- timestamps
        createdAt as created_at,
        updatedAt as updated_at

    from source

    where _sdc_deleted_at is null

)

select * from final

with

source as (

    select * from {{ source('rainbow', 'brands') }}

),

final as (

    select

        ---------- ids
        brand_id,

        ---------- strings
        brand_name,
        country_code,

        ---------- timestamps
        created_at,
        updated_at

    from source

    where _sdc_deleted_at is null

)

select * from final

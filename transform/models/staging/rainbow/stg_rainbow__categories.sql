with

source as (

    select * from {{ source('rainbow', 'categories') }}

),

final as (

    select

        ---------- ids
        category_id,
        parent_category_id,

        ---------- strings
        category_name,

        ---------- timestamps
        created_at,
        updated_at

    from source

    where _sdc_deleted_at is null

)

select * from final

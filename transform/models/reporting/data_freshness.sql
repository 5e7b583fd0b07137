with

loads as (

    select * from {{ ref('fct_loads') }}

),

final as (

    select max(loaded_at) as loaded_at
    from loads

)

select * from final

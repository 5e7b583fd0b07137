with

customers as (

    select * from {{ ref('customer_report') }}

),

final as (

    select

        row_number() over (
            partition by currency_code
            order by lifetime_value desc, total_outstanding desc, person_key
        ) as customer_rank,
        *

    from customers

    qualify customer_rank <= 25

)

select * from final

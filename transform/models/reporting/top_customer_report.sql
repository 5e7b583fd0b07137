with

customers as (

    select * from {{ ref('customer_report') }}

),

final as (

    select

        row_number() over (
            partition by currency_code
            order by lifetime_value desc, total_outstanding desc, person_key asc
        ) as customer_rank,
        person_key,
        currency_code,
        order_count,
        first_order_at,
        most_recent_order_at,
        lifetime_value,
        facility_count,
        defaulted_facility_count,
        total_principal,
        total_outstanding,
        last_facility_opened_on

    from customers

    qualify customer_rank <= 25

)

select * from final

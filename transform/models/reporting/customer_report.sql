with

orders as (

    select * from {{ ref('customer_orders') }}

),

facilities as (

    select * from {{ ref('fct_facilities') }}

),

customers as (

    select * from {{ ref('dim_customers') }}
    where customer_key != {{ unknown_key() }}

),

lending as (

    select

        customers.person_key,
        facilities.currency_code,
        count(*) as facility_count,
        count(case when facilities.status = 'DEFAULTED' then 1 end) as defaulted_facility_count,
        sum(facilities.principal_amount) as total_principal,
        sum(facilities.outstanding_balance) as total_outstanding,
        max(facilities.opened_on) as last_facility_opened_on

    from facilities

    inner join customers
        on facilities.customer_key = customers.customer_key

    group by customers.person_key, facilities.currency_code

),

final as (

    select

        coalesce(orders.person_key, lending.person_key) as person_key,
        coalesce(orders.currency_code, lending.currency_code) as currency_code,
        coalesce(orders.order_count, 0) as order_count,
        orders.first_order_at,
        orders.most_recent_order_at,
        coalesce(orders.lifetime_value, 0) as lifetime_value,
        coalesce(lending.facility_count, 0) as facility_count,
        coalesce(lending.defaulted_facility_count, 0) as defaulted_facility_count,
        coalesce(lending.total_principal, 0) as total_principal,
        coalesce(lending.total_outstanding, 0) as total_outstanding,
        lending.last_facility_opened_on

    from orders

    full outer join lending
        on
            orders.person_key = lending.person_key
            and orders.currency_code = lending.currency_code

)

select * from final

{{ config(materialized='view') }}

with

customers as (

    select * from {{ ref('stg_lana__customers') }}

),

facilities as (

    select * from {{ ref('stg_lana__facilities') }}

),

ranked as (

    select
        *,
        row_number() over (
            partition by customer_id, currency_code
            order by opened_on desc, facility_id desc
        ) = 1 as is_last
    from facilities

),

-- A customer may borrow in several currencies, which are never added: each has a row of its own.
borrowings as (

    select

        customer_id,
        currency_code,

        max(case when is_last then facility_id end) as last_facility_id,
        count(*) as facility_count,
        count(case when status = 'ACTIVE' then facility_id end) as active_facility_count,
        count(case when status = 'DEFAULTED' then facility_id end) as defaulted_facility_count,
        sum(principal_amount) as total_principal,
        sum(outstanding_balance) as total_outstanding,
        min(opened_on) as first_facility_opened_on,
        max(opened_on) as last_facility_opened_on

    from ranked

    group by customer_id, currency_code

),

final as (

    select

        ---------- ids
        customers.customer_id,
        borrowings.last_facility_id,

        ---------- strings
        customers.status,
        customers.customer_type,
        borrowings.currency_code,

        ---------- numerics
        coalesce(borrowings.facility_count, 0) as facility_count,
        coalesce(borrowings.active_facility_count, 0) as active_facility_count,
        coalesce(borrowings.defaulted_facility_count, 0) as defaulted_facility_count,
        coalesce(borrowings.total_principal, 0) as total_principal,
        coalesce(borrowings.total_outstanding, 0) as total_outstanding,

        ---------- dates
        borrowings.first_facility_opened_on,
        borrowings.last_facility_opened_on

    from customers

    left join borrowings
        on customers.customer_id = borrowings.customer_id

)

select * from final

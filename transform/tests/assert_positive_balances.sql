{{ config(meta={'dagster': {'ref': {'name': 'fct_facilities'}}}) }}
-- Nobody owes less than nothing: not on a facility, not over all of a customer's facilities.
select
    'facility' as owner,
    facility_id as owner_id,
    outstanding_balance as balance
from {{ ref('fct_facilities') }}
where outstanding_balance < 0

union all

select
    'customer' as owner,
    customer_id as owner_id,
    total_outstanding as balance
from {{ ref('int_customer_metrics') }}
where total_outstanding < 0

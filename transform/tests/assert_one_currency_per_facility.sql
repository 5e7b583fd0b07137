{{ config(meta={'dagster': {'ref': {'name': 'fct_transactions'}}}) }}
-- A movement in another currency than its facility's would be in no sum of that facility.
select
    transactions.transaction_id,
    transactions.currency_code,
    facilities.currency_code as facility_currency_code
from {{ ref('fct_transactions') }} as transactions
inner join {{ ref('fct_facilities') }} as facilities
    on transactions.facility_id = facilities.facility_id
where transactions.currency_code != facilities.currency_code

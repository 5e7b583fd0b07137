with

accounts as (

    select * from {{ ref('int_person_accounts') }}

),

-- Where a person has several accounts in one system, the one that is there counts, then the eldest.
ranked as (

    select
        *,
        row_number() over (
            partition by person_key, source_system
            order by is_deleted, seniority
        ) as place
    from accounts

),

final as (

    select

        ---------- ids
        person_key,
        max(case when source_system = 'rainbow' and place = 1 then account_id end)
            as rainbow_customer_id,
        max(case when source_system = 'shopify' and place = 1 then account_id end)
            as shopify_customer_id,
        max(case when source_system = 'lana' and place = 1 then account_id end)
            as lana_customer_id,

        ---------- numerics
        count(*) as account_count,

        ---------- booleans
        min(case when is_deleted then 1 else 0 end) = 1 as is_deleted,

        ---------- timestamps
        min(opened_at) as customer_since

    from ranked

    group by person_key

)

select * from final

{#- Each round reaches one shared address further. -#}
{%- set rounds = 4 -%}

with

rainbow_customers as (

    select * from {{ ref('snap_rainbow__customers') }}

),

shopify_customers as (

    select * from {{ ref('snap_shopify__customers') }}

),

lana_customers as (

    select * from {{ ref('snap_lana__customers') }}

),

-- What each run of dbt saw of each account, from that run to the one that saw something else.
sightings as (

    {% for system in ['rainbow', 'shopify', 'lana'] %}
        select
            '{{ system }}' as source_system,
            '{{ loop.index }}' as system_rank,
            customer_id as account_id,
            {{ normalised_email('email') }} as email,
            created_at,
            _sdc_deleted_at is not null as is_deleted,
            seen_at as seen_from,
            coalesce(
                lead(seen_at) over (partition by customer_id order by dbt_valid_from),
                {{ end_of_time() }}
            ) as seen_to,
            dbt_valid_to is null as is_latest
        from {{ system }}_customers
        {% if not loop.last %}union all{% endif %}
    {% endfor %}

),

-- Text that sorts by age: `seniority` is least for the eldest.
accounts as (

    select
        source_system,
        account_id,
        {{ entity_key(['source_system', 'account_id']) }} as account_key,
        min(created_at) as opened_at,
        {{ dbt.bool_or('is_latest and is_deleted') }} as is_deleted,
        concat(
            lpad(cast({{ unix_micros('min(created_at)') }} as {{ dbt.type_string() }}), 20, '0'),
            ' ', min(system_rank), ' ', cast(account_id as {{ dbt.type_string() }})
        ) as seniority
    from sightings
    group by source_system, account_id

),

-- Few addresses ever had more than one account, and only they can link any.
addresses as (

    select email
    from sightings
    where not is_deleted and email is not null
    group by email
    having
        min(source_system) != max(source_system)
        or min(account_id) != max(account_id)

),

-- Who held an address at one time held it together, in one tenure. An address that was given up
-- before another account took it has two.
holdings as (

    select
        sightings.*,
        max(sightings.seen_to) over (
            partition by sightings.email
            order by sightings.seen_from, sightings.source_system, sightings.account_id
            rows between unbounded preceding and 1 preceding
        ) as held_until
    from sightings
    inner join addresses
        on sightings.email = addresses.email
    where not sightings.is_deleted

),

tenures as (

    select
        email,
        source_system,
        account_id,
        sum(case when seen_from < held_until then 0 else 1 end) over (
            partition by email
            order by seen_from, source_system, account_id
            rows between unbounded preceding and current row
        ) as tenure
    from holdings

),

shared as (

    select
        tenures.email,
        tenures.tenure,
        accounts.account_key,
        accounts.seniority
    from tenures
    inner join accounts
        on
            tenures.source_system = accounts.source_system
            and tenures.account_id = accounts.account_id
    qualify
        min(accounts.account_key) over (partition by tenures.email, tenures.tenure)
        != max(accounts.account_key) over (partition by tenures.email, tenures.tenure)

),

-- The eldest that an account shared an address with, then the eldest which that one did, and so on.
reached_0 as (

    select
        email,
        tenure,
        account_key,
        seniority as eldest
    from shared

),

{% for round in range(1, rounds + 1) %}
    met_{{ round }} as (

        select
            email,
            tenure,
            account_key,
            min(eldest) over (partition by email, tenure) as eldest
        from reached_{{ round - 1 }}

    ),

    reached_{{ round }} as (

        select
            email,
            tenure,
            account_key,
            min(eldest) over (partition by account_key) as eldest
        from met_{{ round }}

    ),
{% endfor %}

persons as (

    select distinct
        account_key,
        eldest
    from reached_{{ rounds }}

),

final as (

    select

        ---------- ids
        accounts.account_key,
        eldest.account_key as person_key,
        accounts.account_id,

        ---------- strings
        accounts.source_system,
        accounts.seniority,

        ---------- booleans
        accounts.is_deleted,

        ---------- timestamps
        accounts.opened_at

    from accounts

    left join persons
        on accounts.account_key = persons.account_key

    inner join accounts as eldest
        on coalesce(persons.eldest, accounts.seniority) = eldest.seniority

)

select * from final

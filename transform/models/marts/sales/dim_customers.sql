{{ config(cluster_by=['person_key']) }}

{%- set attributes = [
    'rainbow_customer_id',
    'shopify_customer_id',
    'lana_customer_id',
    'is_subscribed',
    'shopify_state',
    'lana_status',
    'lana_customer_type',
] %}

with

rainbow_versions as (

    {{ versions(ref('snap_rainbow__customers')) }}

),

shopify_versions as (

    {{ versions(ref('snap_shopify__customers')) }}

),

lana_versions as (

    {{ versions(ref('snap_lana__customers')) }}

),

accounts as (

    select * from {{ ref('int_person_accounts') }}

),

persons as (

    select * from {{ ref('int_persons') }}

),

account_versions as (

    select
        'rainbow' as source_system,
        customer_id as account_id,
        is_subscribed,
        null as shopify_state,
        null as lana_status,
        null as lana_customer_type,
        valid_from,
        valid_to
    from rainbow_versions

    union all

    select
        'shopify' as source_system,
        customer_id as account_id,
        null as is_subscribed,
        state as shopify_state,
        null as lana_status,
        null as lana_customer_type,
        valid_from,
        valid_to
    from shopify_versions

    union all

    select
        'lana' as source_system,
        customer_id as account_id,
        null as is_subscribed,
        null as shopify_state,
        status as lana_status,
        customer_type as lana_customer_type,
        valid_from,
        valid_to
    from lana_versions

),

-- Each from when its account was opened.
persons_accounts as (

    select
        accounts.person_key,
        accounts.seniority,
        account_versions.*,
        case
            when
                account_versions.valid_from = {{ beginning_of_time() }}
                and accounts.opened_at < account_versions.valid_to
                then accounts.opened_at
            else account_versions.valid_from
        end as begins_at
    from account_versions
    inner join accounts
        on
            account_versions.source_system = accounts.source_system
            and account_versions.account_id = accounts.account_id

),

-- Whenever anything began or ended for a person, however little.
moments as (

    select
        person_key,
        begins_at as moment
    from persons_accounts

    union distinct

    select
        person_key,
        valid_to as moment
    from persons_accounts
    where valid_to < {{ end_of_time() }}

),

-- In each system, the eldest of the accounts that were there.
known as (

    select
        moments.moment,
        persons_accounts.*
    from moments
    inner join persons_accounts
        on
            moments.person_key = persons_accounts.person_key
            and moments.moment >= persons_accounts.begins_at
            and moments.moment < persons_accounts.valid_to
    qualify
        row_number() over (
            partition by moments.person_key, moments.moment, persons_accounts.source_system
            order by persons_accounts.seniority
        ) = 1

),

states as (

    select
        moments.person_key,
        moments.moment,
        count(known.source_system) > 0 as is_known,
        max(case when known.source_system = 'rainbow' then known.account_id end)
            as rainbow_customer_id,
        max(case when known.source_system = 'shopify' then known.account_id end)
            as shopify_customer_id,
        max(case when known.source_system = 'lana' then known.account_id end)
            as lana_customer_id,
        {{ dbt.bool_or('known.is_subscribed') }} as is_subscribed,
        max(known.shopify_state) as shopify_state,
        max(known.lana_status) as lana_status,
        max(known.lana_customer_type) as lana_customer_type
    from moments
    left join known
        on
            moments.person_key = known.person_key
            and moments.moment = known.moment
    group by moments.person_key, moments.moment

),

compared as (

    select
        *,
        row_number() over by_age = 1 as is_first,
        is_known = lag(is_known) over by_age
        {%- for attribute in attributes %}
            and {{ attribute }} is not distinct from lag({{ attribute }}) over by_age
        {%- endfor %} as is_as_before
    from states
    window by_age as (partition by person_key order by moment)

),

dated as (

    select
        *,
        case when is_first then {{ beginning_of_time() }} else moment end as valid_from,
        coalesce(
            lead(moment) over (partition by person_key order by moment),
            {{ end_of_time() }}
        ) as valid_to
    from compared
    where is_first or not is_as_before

),

customers as (

    select
        {{ version_key(['dated.person_key'], 'dated.valid_from') }} as customer_key,
        dated.person_key,
        {%- for attribute in attributes %}
            dated.{{ attribute }},
        {%- endfor %}
        persons.customer_since,
        dated.valid_from,
        dated.valid_to
    from dated
    inner join persons
        on dated.person_key = persons.person_key
    where dated.is_known

    union all

    select
        {{ unknown_key() }} as customer_key,
        {{ unknown_key() }} as person_key,
        {%- for attribute in attributes %}
            null as {{ attribute }},
        {%- endfor %}
        null as customer_since,
        {{ beginning_of_time() }} as valid_from,
        {{ end_of_time() }} as valid_to

),

final as (

    select

        ---------- ids
        customer_key,
        person_key,
        rainbow_customer_id,
        shopify_customer_id,
        lana_customer_id,

        ---------- strings
        shopify_state,
        lana_status,
        lana_customer_type,

        ---------- booleans
        is_subscribed,
        valid_to = {{ end_of_time() }} as is_current,

        ---------- timestamps
        customer_since,
        valid_from,
        valid_to

    from customers

)

select * from final

with

accounts as (

    select * from {{ ref('int_person_accounts') }}

),

rainbow_customers as (

    select * from {{ ref('stg_rainbow__customers') }}

),

shopify_customers as (

    select * from {{ ref('stg_shopify__customers') }}

),

lana_customers as (

    select * from {{ ref('stg_lana__customers') }}

),

identities as (

    select
        'rainbow' as source_system,
        customer_id as account_id,
        customer_name,
        email,
        phone
    from rainbow_customers

    union all

    select
        'shopify' as source_system,
        customer_id as account_id,
        trim(concat(coalesce(first_name, ''), ' ', coalesce(last_name, ''))) as customer_name,
        email,
        phone
    from shopify_customers

    union all

    select
        'lana' as source_system,
        customer_id as account_id,
        customer_name,
        email,
        null as phone
    from lana_customers

),

-- In each system, the eldest account that is there.
chosen as (

    select
        accounts.person_key,
        accounts.source_system,
        accounts.seniority,
        nullif(identities.customer_name, '') as customer_name,
        {{ normalised_email('identities.email') }} as email,
        identities.email as written_email,
        identities.phone
    from accounts
    inner join identities
        on
            accounts.source_system = identities.source_system
            and accounts.account_id = identities.account_id
    qualify
        row_number() over (
            partition by accounts.person_key, accounts.source_system
            order by accounts.seniority
        ) = 1

),

-- A name, an address and a number are those of the eldest account that has one.
preferred as (

    select
        person_key,
        source_system,
        written_email,
        first_value(customer_name) over (
            partition by person_key
            order by case when customer_name is null then 1 else 0 end, seniority
        ) as customer_name,
        first_value(email) over (
            partition by person_key
            order by case when email is null then 1 else 0 end, seniority
        ) as email,
        first_value(phone) over (
            partition by person_key
            order by case when phone is null then 1 else 0 end, seniority
        ) as phone
    from chosen

),

final as (

    select

        ---------- ids
        person_key,

        ---------- strings
        max(customer_name) as customer_name,
        max(email) as email,
        max(phone) as phone,
        max(case when source_system = 'rainbow' then written_email end) as rainbow_email,
        max(case when source_system = 'shopify' then written_email end) as shopify_email,
        max(case when source_system = 'lana' then written_email end) as lana_email

    from preferred

    group by person_key

)

select * from final

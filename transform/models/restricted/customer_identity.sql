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
        'rainbow' as system,
        customer_id as account_id,
        customer_name,
        email,
        phone
    from rainbow_customers

    union all

    select
        'shopify' as system,
        customer_id as account_id,
        trim(concat(coalesce(first_name, ''), ' ', coalesce(last_name, ''))) as customer_name,
        email,
        phone
    from shopify_customers

    union all

    select
        'lana' as system,
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
        accounts.system,
        accounts.seniority,
        nullif(identities.customer_name, '') as customer_name,
        {{ normalised_email('identities.email') }} as email,
        identities.email as written_email,
        identities.phone
    from accounts
    inner join identities
        on
            accounts.system = identities.system
            and accounts.account_id = identities.account_id
    qualify
        row_number() over (
            partition by accounts.person_key, accounts.system
            order by accounts.seniority
        ) = 1

),

-- The eldest account that says it.
preferred as (

    select
        person_key,
        system,
        written_email,
        {% for column in ['customer_name', 'email', 'phone'] %}
            first_value({{ column }}) over (
                partition by person_key
                order by case when {{ column }} is null then 1 else 0 end, seniority
                rows between unbounded preceding and unbounded following
            ) as {{ column }}{{ ',' if not loop.last }}
        {% endfor %}
    from chosen

),

final as (

    select

        person_key,
        max(customer_name) as customer_name,
        max(email) as email,
        max(phone) as phone,
        max(case when system = 'rainbow' then written_email end) as rainbow_email,
        max(case when system = 'shopify' then written_email end) as shopify_email,
        max(case when system = 'lana' then written_email end) as lana_email

    from preferred

    group by person_key

)

select * from final

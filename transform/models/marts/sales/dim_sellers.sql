{{ config(cluster_by=['channel', 'seller_id']) }}

with

versions as (

    {{ versions(ref('snap_rainbow__sellers')) }}

),

sellers as (

    select
        {{ version_key(["'app'", 'seller_id']) }} as seller_key,
        'app' as channel,
        seller_id,
        seller_name,
        city,
        rating_average,
        valid_from,
        valid_to,
        is_current
    from versions

    union all

    -- Rainbow sells by itself there.
    select
        'shopify' as seller_key,
        'shopify' as channel,
        null as seller_id,
        'Shopify storefront' as seller_name,
        null as city,
        null as rating_average,
        {{ beginning_of_time() }} as valid_from,
        {{ end_of_time() }} as valid_to,
        true as is_current

    union all

    select
        {{ unknown_key() }} as seller_key,
        null as channel,
        null as seller_id,
        'Unknown' as seller_name,
        null as city,
        null as rating_average,
        {{ beginning_of_time() }} as valid_from,
        {{ end_of_time() }} as valid_to,
        true as is_current

),

final as (

    select

        ---------- ids
        seller_key,
        seller_id,

        ---------- strings
        channel,
        seller_name,
        city,

        ---------- numerics
        {{ to_numeric('rating_average', 18, 6) }} as rating_average,

        ---------- booleans
        is_current,

        ---------- timestamps
        valid_from,
        valid_to

    from sellers

)

select * from final

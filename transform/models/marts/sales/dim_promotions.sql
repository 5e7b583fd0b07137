{{ config(cluster_by=['promotion_id']) }}

with

versions as (

    {{ versions(ref('snap_rainbow__promotions')) }}

),

promotions as (

    select
        {{ version_key(['promotion_id']) }} as promotion_key,
        promotion_id,
        promotion_name,
        coupon_type,
        price_treatment,
        starts_at,
        expires_at,
        valid_from,
        valid_to,
        is_current
    from versions

    union all

    select
        'none' as promotion_key,
        null as promotion_id,
        'No promotion' as promotion_name,
        null as coupon_type,
        null as price_treatment,
        null as starts_at,
        null as expires_at,
        {{ beginning_of_time() }} as valid_from,
        {{ end_of_time() }} as valid_to,
        true as is_current

    union all

    select
        {{ unknown_key() }} as promotion_key,
        null as promotion_id,
        'Unknown' as promotion_name,
        null as coupon_type,
        null as price_treatment,
        null as starts_at,
        null as expires_at,
        {{ beginning_of_time() }} as valid_from,
        {{ end_of_time() }} as valid_to,
        true as is_current

),

final as (

    select

        ---------- ids
        promotion_key,
        promotion_id,

        ---------- strings
        promotion_name,
        coupon_type,

        ---------- numerics
        {{ to_numeric('price_treatment', 18, 2) }} as price_treatment,

        ---------- booleans
        is_current,

        ---------- timestamps
        starts_at,
        expires_at,
        valid_from,
        valid_to

    from promotions

)

select * from final

{{ config(materialized='table') }}

with

orders as (

    select * from {{ source('shopify', 'orders') }}

),

order_lines as (

    {{ json_elements('orders', ['id'], 'lineItems', 'line') }}

    where _sdc_deleted_at is null

),

line_allocations as (

    {{ json_elements(
        'order_lines',
        ['id', json_text('line', '$.id') ~ ' as line_id'],
        'line', 'allocation', '$.discountAllocations'
    ) }}

),

order_applications as (

    {{ json_elements('orders', ['id'], 'discountApplications', 'application') }}

    where _sdc_deleted_at is null

),

allocations as (

    select

        {{ shopify_id('line_id') }} as order_line_id,
        {{ shopify_id('id') }} as order_id,
        cast({{ json_text('allocation', '$.discountApplication.index') }} as int64)
            as discount_index,
        {{ shop_currency('allocation', '$.allocatedAmountSet') }} as currency_code,
        {{ shop_amount('allocation', '$.allocatedAmountSet') }} as discount_amount

    from line_allocations

),

applications as (

    select

        {{ shopify_id('id') }} as order_id,
        cast({{ json_text('application', '$.index') }} as int64) as discount_index,
        {{ json_text('application', '$.__typename') }} as type_name,
        {{ json_text('application', '$.title') }} as discount_title,
        {{ json_text('application', '$.code') }} as discount_code

    from order_applications

),

final as (

    select

        ---------- ids
        allocations.order_line_id,
        allocations.discount_index,
        allocations.order_id,

        ---------- strings
        lower(replace(replace(applications.type_name, 'Application', ''), 'Discount', ''))
            as discount_type,
        applications.discount_title,
        applications.discount_code,
        allocations.currency_code,

        ---------- numerics
        allocations.discount_amount

    from allocations

    left join applications
        on
            allocations.order_id = applications.order_id
            and allocations.discount_index = applications.discount_index

)

select * from final

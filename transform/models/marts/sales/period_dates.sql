{%- set periods = {
    'all': "'all'",
    'year': text('calendar_year'),
    'quarter': dbt.concat([text('calendar_year'), "'-Q'", text('calendar_quarter')]),
    'month': 'substr(' ~ text('month_start') ~ ', 1, 7)',
    'day': text('date_day'),
} -%}

with

dates as (

    select * from {{ ref('dim_dates') }}

),

final as (

    {% for period_type, name in periods.items() %}
        select
            {{ name }} as period,
            '{{ period_type }}' as period_type,
            date_day
        from dates
        {{ 'union all' if not loop.last }}
    {% endfor %}

)

select * from final

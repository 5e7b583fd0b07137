{%- set first_day = "cast('2000-01-01' as date)" %}

with

-- Days from the first, a Saturday, to the end of 2049.
days as (

    {{ dbt.generate_series(18263) }}

),

numbered as (

    select cast(generated_number as int64) as day_number
    from days

),

dates as (

    select
        cast({{ dbt.dateadd('day', 'day_number - 1', first_day) }} as date) as date_day,
        mod(day_number + 4, 7) + 1 as day_of_week
    from numbered

),

final as (

    select

        date_day,

        ---------- numerics
        extract(year from date_day) as calendar_year,
        extract(quarter from date_day) as calendar_quarter,
        extract(month from date_day) as calendar_month,
        extract(day from date_day) as day_of_month,
        day_of_week,

        ---------- strings
        case extract(month from date_day)
            when 1 then 'January'
            when 2 then 'February'
            when 3 then 'March'
            when 4 then 'April'
            when 5 then 'May'
            when 6 then 'June'
            when 7 then 'July'
            when 8 then 'August'
            when 9 then 'September'
            when 10 then 'October'
            when 11 then 'November'
            else 'December'
        end as month_name,
        case day_of_week
            when 1 then 'Monday'
            when 2 then 'Tuesday'
            when 3 then 'Wednesday'
            when 4 then 'Thursday'
            when 5 then 'Friday'
            when 6 then 'Saturday'
            else 'Sunday'
        end as day_name,

        ---------- booleans
        day_of_week in (6, 7) as is_weekend,

        ---------- dates
        cast({{ dbt.dateadd('day', '1 - day_of_week', 'date_day') }} as date) as week_start,
        cast({{ dbt.date_trunc('month', 'date_day') }} as date) as month_start

    from dates

)

select * from final

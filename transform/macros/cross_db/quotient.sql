{#-
    An exact quotient with so many digits, so many of them after the point: to nine decimals, halves away from
    zero, as BigQuery divides NUMERICs, and then to these. Null where the denominator is zero.
-#}
{% macro quotient(numerator, denominator, precision, scale) -%}
    {{ return(adapter.dispatch('quotient')(numerator, denominator, precision, scale)) }}
{%- endmacro %}

{% macro default__quotient(numerator, denominator, precision, scale) -%}
    {{ to_numeric(
        'cast(' ~ numerator ~ ' as numeric) / nullif(cast(' ~ denominator ~ ' as numeric), 0)', precision, scale
    ) }}
{%- endmacro %}

{#- DuckDB divides decimals as doubles, but integers exactly: here millionths, of less than 10^22. -#}
{% macro duckdb__quotient(numerator, denominator, precision, scale) -%}
    {%- set n = 'cast(cast(' ~ numerator ~ ' as decimal(38, 6)) * 1000000 as hugeint)' -%}
    {%- set d = 'cast(cast(' ~ denominator ~ ' as decimal(38, 6)) * 1000000 as hugeint)' -%}
    cast(
        sign({{ n }}) * sign({{ d }}) * 0.000000001
        * cast((abs({{ n }}) * 2000000000 + abs({{ d }})) // (2 * abs({{ d }})) as decimal(38, 0))
        as decimal({{ precision }}, {{ scale }})
    )
{%- endmacro %}

{#-
    What a promotion of the app takes off the price of one unit, to two decimals, as prices are kept:
    - `Percentage`: so much of the price;
    - `Fixed Amount`: thousands of VND, as promotions name no currency, so off prices in VND only: what it
      would be in another currency, nobody says;
    - neither, none, or one that was not running at the time: nothing.
    Never more than the price, and never less than nothing.
-#}
{% macro unit_discount(promotion, price, currency_code, sold_at) -%}
    {%- set percentage = to_numeric(
        price ~ ' * ' ~ promotion ~ '.price_treatment * ' ~ "numeric '0.01'", 28, 2
    ) -%}
    greatest(0, least({{ price }}, case
        when
            {{ promotion }}.starts_at > {{ sold_at }}
            or {{ promotion }}.expires_at <= {{ sold_at }}
            then 0
        when {{ promotion }}.coupon_type = 'Percentage' then {{ percentage }}
        when {{ promotion }}.coupon_type = 'Fixed Amount' and {{ currency_code }} = 'VND'
            then {{ promotion }}.price_treatment * 1000
        else 0
    end))
{%- endmacro %}

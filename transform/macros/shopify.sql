{#- The number at the end of a global id: 7 of `gid://shopify/Order/7`. -#}
{% macro shopify_id(gid) -%}
    cast({{ dbt.split_part(gid, "'/'", 5) }} as int64)
{%- endmacro %}

{#- The amount of a MoneyBag in the shop's own currency; the other is the customer's. -#}
{% macro shop_amount(money, path='$') -%}
    {{ json_numeric(money, path ~ '.shopMoney.amount') }}
{%- endmacro %}

{% macro shop_currency(money, path='$') -%}
    {{ json_text(money, path ~ '.shopMoney.currencyCode') }}
{%- endmacro %}

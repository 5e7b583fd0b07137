{{ config(meta={'dagster': {'ref': {'name': 'fact_sales'}}}) }}

-- A unit price times the quantity is the amount, sales less discounts are net sales, and nobody
-- gets back more than they bought.
select
    sale_key,
    sales_quantity,
    regular_unit_price,
    discount_unit_price,
    net_unit_price,
    extended_sales_amount,
    extended_discount_amount,
    extended_net_amount,
    refunded_quantity,
    refunded_amount
from {{ ref('fact_sales') }}
where
    extended_sales_amount - extended_discount_amount != extended_net_amount
    or regular_unit_price - discount_unit_price != net_unit_price
    or abs(regular_unit_price * sales_quantity - extended_sales_amount) > numeric '0.005'
    or abs(discount_unit_price * sales_quantity - extended_discount_amount) > numeric '0.005'
    or extended_discount_amount not between 0 and extended_sales_amount
    or refunded_quantity not between 0 and sales_quantity
    or refunded_amount not between 0 and extended_net_amount

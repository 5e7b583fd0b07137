"""Thirty-two orders in three nights, and every fact and report of them, worked out by hand.

The orders hold every rule: what is a sale, each kind of discount, what was known when, what came
late, was put right, taken back or deleted. Nothing here is computed as the models compute it: what
is expected stands as it was written down. A dimension's version is named by when it began.
"""
# ruff: noqa: E501  (a table is read across)

import json
import re
from pathlib import Path

import duckdb
import pytest
from dbt_project import DEFAULTS, Project, make_raw_layer


def table(text: str) -> list[dict[str, str | None]]:
    """The rows of a table written with bars; an empty cell is null."""
    head, *lines = ([cell.strip() for cell in line.split("|")] for line in text.strip().split("\n"))
    return [dict(zip(head, (cell or None for cell in line), strict=True)) for line in lines]


def rows(text: str) -> list[tuple[str | None, ...]]:
    return [tuple(row.values()) for row in table(text)]


# The source, by the night in which a row is first, or newly, seen.

CATALOGUE = {
    "rainbow.categories": """
        category_id | category_name | parent_category_id
        1           | Home          |
        2           | Lamps         | 1
        3           | Books         |
        4           | Decor         | 1
    """,
    "rainbow.sellers": """
        seller_id | seller_uuid | seller_name
        1         | one         | Sao
        2         | two         | Mai
    """,
    "rainbow.payments": """
        payment_id | payment_method
        1          | Cash
        2          | Card
    """,
    # Nobody has seen product 5 or promotion 9.
    "rainbow.products": """
        product_id | product_name | category_id | seller_id | price
        1          | Lamp         | 2           | 1         | 200000
        2          | Novel        | 3           | 2         | 100000
        3          | Pen          | 3           | 2         | 30000
        4          | Vase         | 2           | 1         | 80000
        6          | Atlas        | 3           | 2         | 50000
        7          | Poems        | 3           | 2         | 50000
        8          | Comic        | 3           | 2         | 50000
        9          | Diary        | 3           | 2         | 25000
    """,
    "rainbow.promotions": """
        promotion_id | coupon_type  | price_treatment | starts_at  | expires_at
        1            | Percentage   | 10              | 2026-05-01 |
        2            | Fixed Amount | 50              | 2026-05-01 | 2026-06-08
        3            | Percentage   | 33.33           | 2026-05-01 |
    """,
    # An is in all three systems, Hoa only at the storefront, Long only at Lana.
    "rainbow.customers": """
        customer_id | full_name | email           | is_subscribed
        1           | An        | an@example.com  | false
        2           | Bình      | binh@example.com | false
        3           | Chi       | chi@example.com | false
    """,
    "shopify.customers": """
        id | email           | createdAt
        51 | AN@example.com  | 2026-02-01
        52 | hoa@example.com | 2026-02-01
    """,
    "lana.customers": """
        customer_id | full_name | email               | status | created_at
        91          | AN        | an+lana@example.com | ACTIVE | 2026-03-01
        92          | LONG      | long@example.com    | ACTIVE | 2026-03-01
    """,
    "shopify.products": """
        id | title | productType
        71 | Tee   | Clothes
        72 | Mug   | Kitchen
    """,
    "lana.facilities": """
        facility_id | customer_id | currency_code | principal_amount | outstanding_balance | status    | opened_on  | created_at
        801         | 91          | VND           | 1000000          | 700000              | ACTIVE    | 2026-06-01 | 2026-06-01 08:00
        802         | 92          | USD           | 100              | 100                 | DEFAULTED | 2026-05-15 | 2026-05-15 08:00
        803         | 91          | VND           | 500000           | 0                   | CLOSED    | 2026-05-01 | 2026-05-01 08:00
    """,
    "lana.transactions": """
        transaction_id | customer_id | facility_id | type       | currency_code | amount  | transaction_date
        1              | 91          | 801         | DISBURSAL  | VND           | 1000000 | 2026-06-02 00:00
        2              | 91          | 801         | PAYMENT    | VND           | 200000  | 2026-06-10 00:00
        3              | 91          | 801         | PAYMENT    | VND           | 100000  | 2026-06-12 00:00
        4              | 92          | 802         | DISBURSAL  | USD           | 100     | 2026-05-16 00:00
        5              | 91          |             | DEPOSIT    | VND           | 5000    | 2026-05-31 23:59
        6              | 91          |             | WITHDRAWAL | VND           | 2000    | 2026-06-01 00:00
        7              | 91          | 803         | DISBURSAL  | VND           | 500000  | 2026-05-02 00:00
        8              | 91          | 803         | PAYMENT    | VND           | 500000  | 2026-05-20 00:00
    """,
}  # fmt: skip

NIGHTS = [
    {
        # 110 is of a customer who arrives in the third night, 115 has no lines, 116 was deleted.
        "rainbow.orders": """
            order_id | customer_id | payment_id | status    | currency_code | created_at                 | _sdc_deleted_at
            101      | 1           | 1          | completed | VND           | 2026-06-01 10:00           |
            102      | 1           | 2          | paid      | VND           | 2026-06-06 09:00           |
            103      | 2           | 1          | shipped   | VND           | 2026-06-02 11:00           |
            104      | 2           | 1          | completed | VND           | 2026-06-03 09:00           |
            105      | 2           | 2          | refunded  | VND           | 2026-06-04 09:00           |
            106      | 2           | 1          | pending   | VND           | 2026-06-04 15:00           |
            107      | 3           | 2          | cancelled | VND           | 2026-06-05 09:00           |
            108      | 3           | 2          | completed | USD           | 2026-06-05 10:00           |
            109      | 3           | 2          | completed | USD           | 2026-06-05 12:00           |
            110      | 99          | 1          | paid      | VND           | 2026-06-06 10:00           |
            111      | 1           | 1          | paid      | VND           | 2026-06-07 08:00           |
            112      | 2           | 1          | paid      | VND           | 2026-06-07 09:00           |
            113      | 3           | 1          | paid      | VND           | 2026-06-07 23:59:59.999999 |
            114      | 1           | 1          | completed | VND           | 2026-06-03 12:00           |
            115      | 3           | 1          | paid      | VND           | 2026-06-01 08:00           |
            116      | 3           | 1          | paid      | VND           | 2026-06-01 09:00           | 2026-06-05
        """,
        "rainbow.order_details": """
            order_id | product_id | promotion_id | quantity | price    | _sdc_deleted_at
            101      | 1          |              | 1        | 200000   |
            101      | 2          | 1            | 2        | 100000   |
            102      | 3          | 2            | 3        | 30000    |
            103      | 1          | 2            | 1        | 200000   |
            104      | 3          | 3            | 1        | 30000.99 |
            105      | 2          | 1            | 1        | 100000   |
            106      | 2          |              | 1        | 100000   |
            107      | 1          |              | 1        | 200000   |
            108      | 1          | 2            | 1        | 8.00     |
            109      | 2          | 1            | 2        | 4.05     |
            110      | 2          |              | 1        | 100000   |
            111      | 5          |              | 1        | 10000    |
            112      | 4          |              | 1        | 80000    |
            112      | 3          | 9            | 1        | 30000    |
            113      | 6          |              | 1        | 50000    |
            114      | 6          |              | 1        | 50000    |
            114      | 7          |              | 1        | 50000    |
            114      | 8          |              | 1        | 50000    |
            114      | 9          |              | 2        | 25000    |
            116      | 1          |              | 1        | 200000   | 2026-06-05
        """,
        # 504 and 505 were not paid, 506 is a test; a guest has no customer.
        "shopify.orders": """
            id  | customer | status             | gateway          | currency | test  | processedAt
            501 | 51       | PAID               | paypal           | VND      | false | 2026-06-02 09:00
            502 |          | PAID               | shopify_payments | USD      | false | 2026-06-03 10:00
            503 | 51       | PAID               | paypal           | VND      | false | 2026-06-04 10:00
            504 | 51       | PENDING            | paypal           | VND      | false | 2026-06-05 10:00
            505 |          | VOIDED             | paypal           | VND      | false | 2026-06-05 11:00
            506 |          | PAID               | paypal           | VND      | true  | 2026-06-05 12:00
            507 |          | REFUNDED           | shopify_payments | VND      | false | 2026-06-05 13:00
            508 | 52       | PARTIALLY_PAID     |                  | VND      | false | 2026-06-06 13:00
        """,
        "shopify.order_refunds": """
            id  | order | line | quantity | subtotal
            901 | 507   | 5007 | 1        | 240000.0
        """,
    },
    {
        # Since: the card was renamed on the 5th, before the sale of the 6th; the novel became dearer on
        # the 8th; promotion 1 was raised on the 10th; the lamp became dearer and moved to Decor on the
        # 11th; the vase is deleted. Chi's new e-mail changes nothing that a dimension holds.
        "rainbow.payments": """
            payment_id | payment_method | updated_at
            2          | Credit card    | 2026-06-05
        """,
        "rainbow.sellers": """
            seller_id | seller_uuid | seller_name | updated_at
            1         | one         | Sao Mới     | 2026-06-10 12:00
        """,
        "rainbow.customers": """
            customer_id | full_name | email             | is_subscribed | updated_at
            2           | Bình      | binh@example.com  | true          | 2026-06-09
            3           | Chi       | chi.2@example.com | false         | 2026-06-09
        """,
        "rainbow.promotions": """
            promotion_id | coupon_type | price_treatment | starts_at  | expires_at | updated_at
            1            | Percentage  | 20              | 2026-05-01 |            | 2026-06-10
        """,
        "rainbow.products": """
            product_id | product_name | category_id | seller_id | price  | updated_at       | _sdc_deleted_at
            1          | Lamp         | 4           | 1         | 210000 | 2026-06-11       |
            2          | Novel        | 3           | 2         | 120000 | 2026-06-08 12:00 |
            4          | Vase         | 2           | 1         | 80000  | 2026-01-01       | 2026-06-10 23:00
        """,
        # 106 is paid by now. 123 comes late. 120 is after, 121 before, 122 at a change of its promotion.
        "rainbow.orders": """
            order_id | customer_id | payment_id | status | currency_code | created_at       | updated_at
            106      | 2           | 1          | paid   | VND           | 2026-06-04 15:00 | 2026-06-08
            120      | 1           | 1          | paid   | VND           | 2026-06-08 10:00 | 2026-06-08 10:00
            121      | 2           | 2          | paid   | VND           | 2026-06-09 10:00 | 2026-06-09 10:00
            122      | 2           | 2          | paid   | VND           | 2026-06-10 00:00 | 2026-06-10 00:00
            123      | 1           | 1          | paid   | VND           | 2026-06-02 12:00 | 2026-06-02 12:00
            124      | 3           | 1          | paid   | VND           | 2026-06-11 06:00 | 2026-06-11 06:00
        """,
        # The line of 112 is put right; the order itself says nothing of it.
        "rainbow.order_details": """
            order_id | product_id | promotion_id | quantity | price  | updated_at
            112      | 4          |              | 3        | 80000  | 2026-06-08
            120      | 1          | 2            | 1        | 200000 | 2026-06-08 10:00
            121      | 2          | 1            | 1        | 120000 | 2026-06-09 10:00
            122      | 2          | 1            | 1        | 120000 | 2026-06-10 00:00
            123      | 9          |              | 1        | 25000  | 2026-06-02 12:00
            124      | 1          |              | 1        | 210000 | 2026-06-11 06:00
        """,
        "shopify.orders": """
            id  | customer | status             | gateway | currency | test  | processedAt
            503 | 51       | PARTIALLY_REFUNDED | paypal  | VND      | false | 2026-06-04 10:00
            509 | 52       | AUTHORIZED         | paypal  | VND      | false | 2026-06-12 09:00
        """,
        "shopify.order_refunds": """
            id  | order | line | quantity | subtotal
            902 | 503   | 5003 | 1        | 135000.0
        """,
    },
    {
        # 113 was cancelled after it was paid, 104 deleted, one line of 112 too; the customer of 110 arrives;
        # the vase is back since the 18th, after one more was ordered while there was none.
        "rainbow.customers": """
            customer_id | full_name | email             | is_subscribed | created_at | updated_at
            99          | Giang     | giang@example.com | false         | 2026-05-01 | 2026-05-01
        """,
        "rainbow.products": """
            product_id | product_name | category_id | seller_id | price | updated_at | _sdc_deleted_at
            4          | Vase         | 2           | 1         | 90000 | 2026-06-18 |
        """,
        "rainbow.orders": """
            order_id | customer_id | payment_id | status    | currency_code | created_at                 | updated_at       | _sdc_deleted_at
            104      | 2           | 1          | completed | VND           | 2026-06-03 09:00           | 2026-01-01       | 2026-06-16
            113      | 3           | 1          | cancelled | VND           | 2026-06-07 23:59:59.999999 | 2026-06-15       |
            120      | 1           | 1          | refunded  | VND           | 2026-06-08 10:00           | 2026-06-17       |
            130      | 2           | 1          | paid      | VND           | 2026-06-12 10:00           | 2026-06-12 10:00 |
            131      | 2           | 1          | paid      | VND           | 2026-06-19 10:00           | 2026-06-19 10:00 |
        """,
        "rainbow.order_details": """
            order_id | product_id | promotion_id | quantity | price    | updated_at       | _sdc_deleted_at
            104      | 3          | 3            | 1        | 30000.99 | 2026-01-01       | 2026-06-16
            112      | 3          | 9            | 1        | 30000    | 2026-01-01       | 2026-06-16
            130      | 4          |              | 1        | 80000    | 2026-06-12 10:00 |
            131      | 4          |              | 1        | 90000    | 2026-06-19 10:00 |
        """,
        "shopify.orders": """
            id  | customer | status | gateway | currency | test  | processedAt
            509 | 52       | PAID   | paypal  | VND      | false | 2026-06-12 09:00
        """,
    },
]  # fmt: skip
LOADED = ["2026-06-07 23:59:59.999999", "2026-06-14 22:00:00", "2026-06-21 22:00:00"]

# An order of the storefront is sent with its lines. Line 5004 is of no product.
LINES = table("""
    id   | order | product | quantity | unit     | gross    | discount
    5001 | 501   | 71      | 2        | 150000.0 | 300000.0 | 0.0
    5002 | 502   | 72      | 3        | 10.0     | 30.0     | 1.0
    5003 | 503   | 71      | 2        | 150000.0 | 300000.0 | 30000.0
    5004 | 503   |         | 1        | 10000.0  | 10000.0  | 0.0
    5005 | 504   | 71      | 1        | 150000.0 | 150000.0 | 0.0
    5006 | 506   | 71      | 1        | 150000.0 | 150000.0 | 0.0
    5007 | 507   | 72      | 1        | 240000.0 | 240000.0 | 0.0
    5008 | 508   | 72      | 1        | 240000.0 | 240000.0 | 0.0
    5009 | 509   | 71      | 1        | 150000.0 | 150000.0 | 0.0
""")


def gid(kind: str, number: str | None) -> str | None:
    return number and f"gid://shopify/{kind}/{number}"


def named(kind: str, number: str | None) -> dict[str, str] | None:
    return number and {"id": gid(kind, number)}


def money(amount: str, currency: str) -> dict[str, dict[str, str]]:
    return {"shopMoney": {"amount": amount, "currencyCode": currency}}


def shopify_order(row: dict[str, str], loaded: str) -> dict[str, object]:
    """An order as the tap sends it."""
    lines = [
        {
            "__parentId": gid("Order", row["id"]),
            "id": gid("LineItem", line["id"]),
            "product": named("Product", line["product"]),
            "quantity": int(line["quantity"]),
            "originalUnitPriceSet": money(line["unit"], row["currency"]),
            "originalTotalSet": money(line["gross"], row["currency"]),
            "discountAllocations": [
                {"allocatedAmountSet": money(line["discount"], row["currency"])}
                | {"discountApplication": {"index": 0}}
            ],
        }
        for line in LINES
        if line["order"] == row["id"]
    ]
    quantity = sum(line["quantity"] for line in lines)
    paid = {"501": "300000.0", "502": "29.0", "503": "280000.0", "504": "150000.0", "505": "0.0"}
    paid |= {"506": "150000.0", "507": "240000.0", "508": "240000.0", "509": "150000.0"}
    amount = json.dumps(money(paid[row["id"]], row["currency"]))
    return {
        "id": gid("Order", row["id"]),
        "name": f"#{row['id']}",
        "customer": json.dumps(named("Customer", row["customer"])),
        "displayFinancialStatus": row["status"],
        "paymentGatewayNames": json.dumps([row["gateway"]] if row["gateway"] else []),
        "currencyCode": row["currency"],
        "presentmentCurrencyCode": row["currency"],
        "test": row["test"],
        "subtotalLineItemsQuantity": quantity,
        "currentSubtotalLineItemsQuantity": quantity,
        "subtotalPriceSet": amount,
        "totalPriceSet": amount,
        "totalRefundedSet": json.dumps(money("0.0", row["currency"])),
        "transactionsCount": '{"count": 0}',
        "discountApplications": '[{"index": 0, "__typename": "ManualDiscountApplication"}]',
        "lineItems": json.dumps(lines),
        "processedAt": row["processedAt"],
        "createdAt": row["processedAt"],
        "updatedAt": loaded,
    }


def shopify_refund(row: dict[str, str], loaded: str) -> dict[str, object]:
    line = {
        "id": gid("RefundLineItem", row["id"]),
        "lineItem": named("LineItem", row["line"]),
        "quantity": int(row["quantity"]),
        "subtotalSet": money(row["subtotal"], "VND"),
        "totalTaxSet": money("0.0", "VND"),
    }
    return {
        "id": gid("Refund", row["id"]),
        "order": json.dumps(named("Order", row["order"])),
        "refundLineItems": json.dumps([line]),
        "createdAt": loaded,
        "updatedAt": loaded,
    }


def shopify_entity(kind: str) -> object:
    return lambda row, loaded: (
        {"createdAt": "2026-01-01", "updatedAt": "2026-01-01"} | row | {"id": gid(kind, row["id"])}
    )


LANDED = {
    "shopify.orders": shopify_order,
    "shopify.order_refunds": shopify_refund,
    "shopify.customers": shopify_entity("Customer"),
    "shopify.products": shopify_entity("Product"),
}
# What a row has that the tables above do not say.
UNSAID = {
    "rainbow.products": {"original_price": "1"},
    "rainbow.promotions": {"promotion_name": "Tết"},
    "shopify.products": {"status": "ACTIVE"},
}


def raw(night: dict[str, str], loaded: str) -> dict[str, list[dict[str, object]]]:
    """The rows of the raw tables that one night brings. A row that is marked as deleted keeps the
    moment at which it was loaded."""
    brought = {}
    for name, text in night.items():
        convert = LANDED.get(name, lambda row, _: row)
        brought[f"raw_{name}"] = [
            UNSAID.get(name, {})
            | {"_sdc_batched_at": LOADED[0] if row.get("_sdc_deleted_at") else loaded}
            | convert(row, loaded)
            for row in table(text)
        ]
    return brought


def upsert(project: Project, brought: dict[str, list[dict[str, object]]]) -> None:
    """What the loader does: the row of a key is replaced, or new."""
    with duckdb.connect(str(project.warehouse)) as warehouse:
        for name, rows in brought.items():
            columns = [row[0] for row in warehouse.execute(f"describe {name}").fetchall()]
            keys = columns[: 2 if name == "raw_rainbow.order_details" else 1]
            for row in rows:
                full = {k: v for k, v in (DEFAULTS | row).items() if k in columns}
                where = " and ".join(f"{key} = ?" for key in keys)
                warehouse.execute(f"delete from {name} where {where}", [row[key] for key in keys])
                warehouse.execute(
                    f"insert into {name} ({', '.join(map(json.dumps, full))}) "
                    f"values ({', '.join('?' * len(full))})",
                    list(full.values()),
                )


# How the facts are shown: a version of a dimension by its name, and by the day it began if it was not
# the first; a person by the accounts they had.
SINCE = (
    "case when {0}.valid_from > '1900-01-01' then strftime({0}.valid_from, ' %m-%d') else '' end"
)
PERSON = """
    coalesce(nullif(concat_ws('+', 'r' || {0}.rainbow_customer_id, 's' || {0}.shopify_customer_id,
        'l' || {0}.lana_customer_id), ''), 'Unknown')
"""
SALES = f"""
    select
        sale_key,
        products.product_name || {SINCE.format("products")},
        sellers.seller_name || {SINCE.format("sellers")},
        {PERSON.format("customers")} || {SINCE.format("customers")},
        coalesce(promotions.promotion_id::varchar, promotion_key) || {SINCE.format("promotions")},
        payments.payment_method || {SINCE.format("payments")},
        currency_code, sales_quantity, regular_unit_price, discount_unit_price, net_unit_price,
        extended_sales_amount, extended_discount_amount, extended_net_amount,
        refunded_quantity, refunded_amount, sold_at
    from marts.fact_sales
    join marts.dim_products as products using (product_key)
    join marts.dim_sellers as sellers using (seller_key)
    join marts.dim_customers as customers using (customer_key)
    join marts.dim_promotions as promotions using (promotion_key)
    join marts.dim_payments as payments using (payment_key)
    order by sale_key
"""


def answers(project: Project, sql: str) -> list[tuple[str | None, ...]]:
    """The result as a table's text says it: no zeros at the end of a number, no time at midnight."""
    return [
        tuple(
            None
            if value is None
            else re.sub(r"(\.\d*?)0+$", r"\1", str(value)).removesuffix(".")
            if re.fullmatch(r"-?\d+\.\d+", str(value))
            else str(value).removesuffix(" 00:00:00").removesuffix(":00")
            for value in row
        )
        for row in project.query(sql)
    ]


@pytest.fixture(scope="module")
def built(parsed: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The warehouse after three nights; `nights` has the sales after each. Not to be written to."""
    project = parsed.copy(tmp_path_factory.mktemp("known"))
    make_raw_layer(project.warehouse, raw(CATALOGUE | NIGHTS[0], LOADED[0]))
    project.nights = []
    for night, loaded in zip(NIGHTS, LOADED, strict=True):
        if project.nights:
            upsert(project, raw(night, loaded))
        result = project.dbt("build", "--exclude-resource-type", "unit_test")
        assert result.returncode == 0, result.stdout
        project.nights.append(answers(project, SALES))
    return project


def test_sales(built: Project) -> None:
    assert built.nights[2] == rows("""
        sale         | product     | seller             | customer        | promotion | payment          | cur | units | price    | off      | net      | sales   | discount | net_sales | back | refund  | sold_at
        app-101-1    | Lamp        | Sao                | r1+s51+l91 03-01 | none     | Cash             | VND | 1     | 200000   | 0        | 200000   | 200000  | 0        | 200000    | 0    | 0       | 2026-06-01 10:00
        app-101-2    | Novel       | Mai                | r1+s51+l91 03-01 | 1        | Cash             | VND | 2     | 100000   | 10000    | 90000    | 200000  | 20000    | 180000    | 0    | 0       | 2026-06-01 10:00
        app-102-3    | Pen         | Mai                | r1+s51+l91 03-01 | 2        | Credit card 06-05 | VND | 3    | 30000    | 30000    | 0        | 90000   | 90000    | 0         | 0    | 0       | 2026-06-06 09:00
        app-103-1    | Lamp        | Sao                | r2              | 2         | Cash             | VND | 1     | 200000   | 50000    | 150000   | 200000  | 50000    | 150000    | 0    | 0       | 2026-06-02 11:00
        app-105-2    | Novel       | Mai                | r2              | 1         | Card             | VND | 1     | 100000   | 10000    | 90000    | 100000  | 10000    | 90000     | 1    | 90000   | 2026-06-04 09:00
        app-106-2    | Novel       | Mai                | r2              | none      | Cash             | VND | 1     | 100000   | 0        | 100000   | 100000  | 0        | 100000    | 0    | 0       | 2026-06-04 15:00
        app-108-1    | Lamp        | Sao                | r3              | 2         | Credit card 06-05 | USD | 1    | 8        | 0        | 8        | 8       | 0        | 8         | 0    | 0       | 2026-06-05 10:00
        app-109-2    | Novel       | Mai                | r3              | 1         | Credit card 06-05 | USD | 2    | 4.05     | 0.41     | 3.64     | 8.1     | 0.82     | 7.28      | 0    | 0       | 2026-06-05 12:00
        app-110-2    | Novel       | Mai                | r99             | none      | Cash             | VND | 1     | 100000   | 0        | 100000   | 100000  | 0        | 100000    | 0    | 0       | 2026-06-06 10:00
        app-111-5    | Unknown     | Unknown            | r1+s51+l91 03-01 | none     | Cash             | VND | 1     | 10000    | 0        | 10000    | 10000   | 0        | 10000     | 0    | 0       | 2026-06-07 08:00
        app-112-4    | Vase        | Sao                | r2              | none      | Cash             | VND | 3     | 80000    | 0        | 80000    | 240000  | 0        | 240000    | 0    | 0       | 2026-06-07 09:00
        app-114-6    | Atlas       | Mai                | r1+s51+l91 03-01 | none     | Cash             | VND | 1     | 50000    | 0        | 50000    | 50000   | 0        | 50000     | 0    | 0       | 2026-06-03 12:00
        app-114-7    | Poems       | Mai                | r1+s51+l91 03-01 | none     | Cash             | VND | 1     | 50000    | 0        | 50000    | 50000   | 0        | 50000     | 0    | 0       | 2026-06-03 12:00
        app-114-8    | Comic       | Mai                | r1+s51+l91 03-01 | none     | Cash             | VND | 1     | 50000    | 0        | 50000    | 50000   | 0        | 50000     | 0    | 0       | 2026-06-03 12:00
        app-114-9    | Diary       | Mai                | r1+s51+l91 03-01 | none     | Cash             | VND | 2     | 25000    | 0        | 25000    | 50000   | 0        | 50000     | 0    | 0       | 2026-06-03 12:00
        app-120-1    | Lamp        | Sao                | r1+s51+l91 03-01 | 2        | Cash             | VND | 1     | 200000   | 0        | 200000   | 200000  | 0        | 200000    | 1    | 200000  | 2026-06-08 10:00
        app-121-2    | Novel 06-08 | Mai                | r2 06-09        | 1         | Credit card 06-05 | VND | 1    | 120000   | 12000    | 108000   | 120000  | 12000    | 108000    | 0    | 0       | 2026-06-09 10:00
        app-122-2    | Novel 06-08 | Mai                | r2 06-09        | 1 06-10   | Credit card 06-05 | VND | 1    | 120000   | 24000    | 96000    | 120000  | 24000    | 96000     | 0    | 0       | 2026-06-10
        app-123-9    | Diary       | Mai                | r1+s51+l91 03-01 | none     | Cash             | VND | 1     | 25000    | 0        | 25000    | 25000   | 0        | 25000     | 0    | 0       | 2026-06-02 12:00
        app-124-1    | Lamp 06-11  | Sao Mới 06-10      | r3              | none      | Cash             | VND | 1     | 210000   | 0        | 210000   | 210000  | 0        | 210000    | 0    | 0       | 2026-06-11 06:00
        app-130-4    | Unknown     | Unknown            | r2 06-09        | none      | Cash             | VND | 1     | 80000    | 0        | 80000    | 80000   | 0        | 80000     | 0    | 0       | 2026-06-12 10:00
        app-131-4    | Vase 06-18  | Sao Mới 06-10      | r2 06-09        | none      | Cash             | VND | 1     | 90000    | 0        | 90000    | 90000   | 0        | 90000     | 0    | 0       | 2026-06-19 10:00
        shopify-5001 | Tee         | Shopify storefront | r1+s51+l91 03-01 | none     | paypal           | VND | 2     | 150000   | 0        | 150000   | 300000  | 0        | 300000    | 0    | 0       | 2026-06-02 09:00
        shopify-5002 | Mug         | Shopify storefront | Unknown         | none      | shopify_payments | USD | 3     | 10       | 0.333333 | 9.666667 | 30      | 1        | 29        | 0    | 0       | 2026-06-03 10:00
        shopify-5003 | Tee         | Shopify storefront | r1+s51+l91 03-01 | none     | paypal           | VND | 2     | 150000   | 15000    | 135000   | 300000  | 30000    | 270000    | 1    | 135000  | 2026-06-04 10:00
        shopify-5004 | Unknown     | Shopify storefront | r1+s51+l91 03-01 | none     | paypal           | VND | 1     | 10000    | 0        | 10000    | 10000   | 0        | 10000     | 0    | 0       | 2026-06-04 10:00
        shopify-5007 | Mug         | Shopify storefront | Unknown         | none      | shopify_payments | VND | 1     | 240000   | 0        | 240000   | 240000  | 0        | 240000    | 1    | 240000  | 2026-06-05 13:00
        shopify-5008 | Mug         | Shopify storefront | s52             | none      | Unknown          | VND | 1     | 240000   | 0        | 240000   | 240000  | 0        | 240000    | 0    | 0       | 2026-06-06 13:00
        shopify-5009 | Tee         | Shopify storefront | s52             | none      | paypal           | VND | 1     | 150000   | 0        | 150000   | 150000  | 0        | 150000    | 0    | 0       | 2026-06-12 09:00
    """)  # fmt: skip


def test_sales_of_the_nights_before(built: Project) -> None:
    """What a night changed, as it was: product, promotion, payment, units and what was paid back."""
    changed = [{row[0]: row for row in night} for night in built.nights]
    shown = [
        (str(number), key, *(row[i] for i in (1, 3, 4, 5, 7, 11, 12, 15)))
        for number, night in enumerate(changed[:2], 1)
        for key, row in night.items()
        if row != changed[number].get(key)
    ]
    assert shown == rows("""
        night | sale         | product | customer         | promotion | payment | units | sales    | discount | refund
        1     | app-102-3    | Pen     | r1+s51+l91 03-01 | 2         | Card    | 3     | 90000    | 90000    | 0
        1     | app-108-1    | Lamp    | r3               | 2         | Card    | 1     | 8        | 0        | 0
        1     | app-109-2    | Novel   | r3               | 1         | Card    | 2     | 8.1      | 0.82     | 0
        1     | app-112-4    | Vase    | r2               | none      | Cash    | 1     | 80000    | 0        | 0
        1     | shopify-5003 | Tee     | r1+s51+l91 03-01 | none      | paypal  | 2     | 300000   | 30000    | 0
        2     | app-104-3    | Pen     | r2               | 3         | Cash    | 1     | 30000.99 | 9999.33  | 0
        2     | app-110-2    | Novel   | Unknown          | none      | Cash    | 1     | 100000   | 0        | 0
        2     | app-112-3    | Pen     | r2               | unknown   | Cash    | 1     | 30000    | 0        | 0
        2     | app-113-6    | Atlas   | r3               | none      | Cash    | 1     | 50000    | 0        | 0
        2     | app-120-1    | Lamp    | r1+s51+l91 03-01 | 2         | Cash    | 1     | 200000   | 0        | 0
    """)  # fmt: skip
    new = [
        sorted(later.keys() - earlier.keys())
        for earlier, later in zip(changed[:2], changed[1:], strict=True)
    ]
    assert new == [
        ["app-106-2", "app-120-1", "app-121-2", "app-122-2", "app-123-9", "app-124-1"],
        ["app-130-4", "app-131-4", "shopify-5009"],
    ]


def test_orders(built: Project) -> None:
    sql = f"""
        select order_key, {PERSON.format("customers")}, payments.payment_method, status, currency_code,
            line_count, quantity, gross_amount, is_sale
        from marts.fct_orders
        join marts.dim_customers as customers using (customer_key)
        join marts.dim_payments as payments using (payment_key)
        order by order_key
    """
    assert answers(built, sql) == rows("""
        order       | customer   | payment          | status             | cur | lines | units | gross  | sale
        app-101     | r1+s51+l91 | Cash             | completed          | VND | 2     | 3     | 400000 | True
        app-102     | r1+s51+l91 | Credit card      | paid               | VND | 1     | 3     | 90000  | True
        app-103     | r2         | Cash             | shipped            | VND | 1     | 1     | 200000 | True
        app-105     | r2         | Card             | refunded           | VND | 1     | 1     | 100000 | True
        app-106     | r2         | Cash             | paid               | VND | 1     | 1     | 100000 | True
        app-107     | r3         | Credit card      | cancelled          | VND | 1     | 1     | 200000 | False
        app-108     | r3         | Credit card      | completed          | USD | 1     | 1     | 8      | True
        app-109     | r3         | Credit card      | completed          | USD | 1     | 2     | 8.1    | True
        app-110     | r99        | Cash             | paid               | VND | 1     | 1     | 100000 | True
        app-111     | r1+s51+l91 | Cash             | paid               | VND | 1     | 1     | 10000  | True
        app-112     | r2         | Cash             | paid               | VND | 1     | 3     | 240000 | True
        app-113     | r3         | Cash             | cancelled          | VND | 1     | 1     | 50000  | False
        app-114     | r1+s51+l91 | Cash             | completed          | VND | 4     | 5     | 200000 | True
        app-115     | r3         | Cash             | paid               | VND | 0     | 0     | 0      | True
        app-120     | r1+s51+l91 | Cash             | refunded           | VND | 1     | 1     | 200000 | True
        app-121     | r2         | Credit card      | paid               | VND | 1     | 1     | 120000 | True
        app-122     | r2         | Credit card      | paid               | VND | 1     | 1     | 120000 | True
        app-123     | r1+s51+l91 | Cash             | paid               | VND | 1     | 1     | 25000  | True
        app-124     | r3         | Cash             | paid               | VND | 1     | 1     | 210000 | True
        app-130     | r2         | Cash             | paid               | VND | 1     | 1     | 80000  | True
        app-131     | r2         | Cash             | paid               | VND | 1     | 1     | 90000  | True
        shopify-501 | r1+s51+l91 | paypal           | paid               | VND | 1     | 2     | 300000 | True
        shopify-502 | Unknown    | shopify_payments | paid               | USD | 1     | 3     | 30     | True
        shopify-503 | r1+s51+l91 | paypal           | partially_refunded | VND | 2     | 3     | 310000 | True
        shopify-504 | r1+s51+l91 | paypal           | pending            | VND | 1     | 1     | 150000 | False
        shopify-505 | Unknown    | paypal           | voided             | VND | 0     | 0     | 0      | False
        shopify-506 | Unknown    | paypal           | paid               | VND | 1     | 1     | 150000 | False
        shopify-507 | Unknown    | shopify_payments | refunded           | VND | 1     | 1     | 240000 | True
        shopify-508 | s52        | Unknown          | partially_paid     | VND | 1     | 1     | 240000 | True
        shopify-509 | s52        | paypal           | paid               | VND | 1     | 1     | 150000 | True
    """)  # fmt: skip


def test_versions(built: Project) -> None:
    sql = f"""
        select 'customer', {PERSON.format("c")}, is_subscribed::varchar, valid_from, valid_to
            from marts.dim_customers as c where customer_key != 'unknown'
        union all select 'payment', channel, payment_method, valid_from, valid_to
            from marts.dim_payments where payment_key != 'unknown'
        union all select 'product', product_name || ' in ' || category_name, price::int::varchar,
            valid_from, valid_to from marts.dim_products where product_key != 'unknown'
        union all select 'promotion', promotion_id::varchar, price_treatment::double::varchar,
            valid_from, valid_to from marts.dim_promotions where promotion_id is not null
        union all select 'seller', channel, seller_name, valid_from, valid_to
            from marts.dim_sellers where seller_key != 'unknown'
        order by 1, 2, 4, 3
    """
    assert answers(built, sql) == rows("""
        dimension | member         | value              | valid_from       | valid_to
        customer  | l92            |                    | 1900-01-01       | 2100-01-01
        customer  | r1             | false              | 1900-01-01       | 2026-02-01
        customer  | r1+s51         | false              | 2026-02-01       | 2026-03-01
        customer  | r1+s51+l91     | false              | 2026-03-01       | 2100-01-01
        customer  | r2             | false              | 1900-01-01       | 2026-06-09
        customer  | r2             | true               | 2026-06-09       | 2100-01-01
        customer  | r3             | false              | 1900-01-01       | 2100-01-01
        customer  | r99            | false              | 1900-01-01       | 2100-01-01
        customer  | s52            |                    | 1900-01-01       | 2100-01-01
        payment   | app            | Card               | 1900-01-01       | 2026-06-05
        payment   | app            | Cash               | 1900-01-01       | 2100-01-01
        payment   | app            | Credit card        | 2026-06-05       | 2100-01-01
        payment   | shopify        | paypal             | 1900-01-01       | 2100-01-01
        payment   | shopify        | shopify_payments   | 1900-01-01       | 2100-01-01
        product   | Atlas in Books | 50000              | 1900-01-01       | 2100-01-01
        product   | Comic in Books | 50000              | 1900-01-01       | 2100-01-01
        product   | Diary in Books | 25000              | 1900-01-01       | 2100-01-01
        product   | Lamp in Decor  | 210000             | 2026-06-11       | 2100-01-01
        product   | Lamp in Lamps  | 200000             | 1900-01-01       | 2026-06-11
        product   | Mug in Kitchen |                    | 1900-01-01       | 2100-01-01
        product   | Novel in Books | 100000             | 1900-01-01       | 2026-06-08 12:00
        product   | Novel in Books | 120000             | 2026-06-08 12:00 | 2100-01-01
        product   | Pen in Books   | 30000              | 1900-01-01       | 2100-01-01
        product   | Poems in Books | 50000              | 1900-01-01       | 2100-01-01
        product   | Tee in Clothes |                    | 1900-01-01       | 2100-01-01
        product   | Vase in Lamps  | 80000              | 1900-01-01       | 2026-06-10 23:00
        product   | Vase in Lamps  | 90000              | 2026-06-18       | 2100-01-01
        promotion | 1              | 10                 | 1900-01-01       | 2026-06-10
        promotion | 1              | 20                 | 2026-06-10       | 2100-01-01
        promotion | 2              | 50                 | 1900-01-01       | 2100-01-01
        promotion | 3              | 33.33              | 1900-01-01       | 2100-01-01
        seller    | app            | Mai                | 1900-01-01       | 2100-01-01
        seller    | app            | Sao                | 1900-01-01       | 2026-06-10 12:00
        seller    | app            | Sao Mới            | 2026-06-10 12:00 | 2100-01-01
        seller    | shopify        | Shopify storefront | 1900-01-01       | 2100-01-01
    """)  # fmt: skip


def test_total_sales(built: Project) -> None:
    assert answers(built, "from reporting.total_sales order by 1, 2") == rows("""
        channel | cur | lines | orders | units | sales   | discounts | net     | returns | kept
        app     | USD | 2     | 2      | 3     | 16.1    | 0.82      | 15.28   | 0       | 15.28
        app     | VND | 20    | 16     | 26    | 2285000 | 206000    | 2079000 | 290000  | 1789000
        shopify | USD | 1     | 1      | 3     | 30      | 1         | 29      | 0       | 29
        shopify | VND | 6     | 5      | 8     | 1240000 | 30000     | 1210000 | 375000  | 835000
    """)


def test_sales_by_day_of_week(built: Project) -> None:
    assert answers(built, "from reporting.sales_by_day_of_week order by 3, 1") == rows("""
        day | name      | cur | orders | units | sales  | discounts | net    | returns | kept
        3   | Wednesday | USD | 1      | 3     | 30     | 1         | 29     | 0       | 29
        5   | Friday    | USD | 2      | 3     | 16.1   | 0.82      | 15.28  | 0       | 15.28
        1   | Monday    | VND | 2      | 4     | 600000 | 20000     | 580000 | 200000  | 380000
        2   | Tuesday   | VND | 4      | 5     | 645000 | 62000     | 583000 | 0       | 583000
        3   | Wednesday | VND | 2      | 6     | 320000 | 24000     | 296000 | 0       | 296000
        4   | Thursday  | VND | 4      | 6     | 720000 | 40000     | 680000 | 225000  | 455000
        5   | Friday    | VND | 4      | 4     | 560000 | 0         | 560000 | 240000  | 320000
        6   | Saturday  | VND | 3      | 5     | 430000 | 90000     | 340000 | 0       | 340000
        7   | Sunday    | VND | 2      | 4     | 250000 | 0         | 250000 | 0       | 250000
    """)


def test_top_sellers(built: Project) -> None:
    sql = "select * exclude (seller_id) from reporting.top_sellers order by currency_code, seller_rank"
    assert answers(built, sql) == rows("""
        rank | channel | seller             | cur | orders | units | sales   | discounts | net     | returns | kept
        1    | shopify | Shopify storefront | USD | 1      | 3     | 30      | 1         | 29      | 0       | 29
        2    | app     | Sao Mới            | USD | 1      | 1     | 8       | 0         | 8       | 0       | 8
        3    | app     | Mai                | USD | 1      | 2     | 8.1     | 0.82      | 7.28    | 0       | 7.28
        1    | shopify | Shopify storefront | VND | 5      | 8     | 1240000 | 30000     | 1210000 | 375000  | 835000
        2    | app     | Sao Mới            | VND | 6      | 8     | 1140000 | 50000     | 1090000 | 200000  | 890000
        3    | app     | Mai                | VND | 9      | 16    | 1055000 | 156000    | 899000  | 90000   | 809000
    """)  # fmt: skip


def test_top_products_by_category(built: Project) -> None:
    """The pen would be the sixth of the books; atlas, poems and comic are equal."""
    sql = """
        select * exclude (channel, category_id, product_id) from reporting.top_products_by_category
        order by category_name, currency_code, product_rank
    """
    assert answers(built, sql) == rows("""
        category | cur | rank | product | orders | units | sales  | discounts | net    | returns | kept
        Books    | USD | 1    | Novel   | 1      | 2     | 8.1    | 0.82      | 7.28   | 0       | 7.28
        Books    | VND | 1    | Novel   | 6      | 7     | 740000 | 66000     | 674000 | 90000   | 584000
        Books    | VND | 2    | Diary   | 2      | 3     | 75000  | 0         | 75000  | 0       | 75000
        Books    | VND | 3    | Atlas   | 1      | 1     | 50000  | 0         | 50000  | 0       | 50000
        Books    | VND | 4    | Poems   | 1      | 1     | 50000  | 0         | 50000  | 0       | 50000
        Books    | VND | 5    | Comic   | 1      | 1     | 50000  | 0         | 50000  | 0       | 50000
        Clothes  | VND | 1    | Tee     | 3      | 5     | 750000 | 30000     | 720000 | 135000  | 585000
        Decor    | VND | 1    | Lamp    | 1      | 1     | 210000 | 0         | 210000 | 0       | 210000
        Kitchen  | USD | 1    | Mug     | 1      | 3     | 30     | 1         | 29     | 0       | 29
        Kitchen  | VND | 1    | Mug     | 2      | 2     | 480000 | 0         | 480000 | 240000  | 240000
        Lamps    | USD | 1    | Lamp    | 1      | 1     | 8      | 0         | 8      | 0       | 8
        Lamps    | VND | 1    | Lamp    | 3      | 3     | 600000 | 50000     | 550000 | 200000  | 350000
        Lamps    | VND | 2    | Vase    | 2      | 4     | 330000 | 0         | 330000 | 0       | 330000
    """)


def test_payment_methods(built: Project) -> None:
    """The shares are of 3,289,000 VND and of 44.28 USD."""
    assert answers(built, "from reporting.payment_methods order by 3, 1, 2") == rows("""
        channel | method           | cur | orders | units | sales   | discounts | net     | returns | kept    | share
        app     | Credit card      | USD | 2      | 3     | 16.1    | 0.82      | 15.28   | 0       | 15.28   | 0.345077
        shopify | shopify_payments | USD | 1      | 3     | 30      | 1         | 29      | 0       | 29      | 0.654923
        app     | Cash             | VND | 12     | 20    | 1855000 | 70000     | 1785000 | 200000  | 1585000 | 0.542718
        app     | Credit card      | VND | 4      | 6     | 430000  | 136000    | 294000  | 90000   | 204000  | 0.089389
        shopify | Unknown          | VND | 1      | 1     | 240000  | 0         | 240000  | 0       | 240000  | 0.072971
        shopify | paypal           | VND | 3      | 6     | 760000  | 30000     | 730000  | 135000  | 595000  | 0.221952
        shopify | shopify_payments | VND | 1      | 1     | 240000  | 0         | 240000  | 240000  | 0       | 0.072971
    """)  # fmt: skip


def test_customers(built: Project) -> None:
    """Long has bought nothing, and An has borrowed; 110's customer came in the last night."""
    orders = f"""
        select {PERSON.format("customers")}, orders.* exclude (person_key)
        from marts.customer_orders as orders
        join marts.dim_customers as customers on orders.person_key = customers.person_key and is_current
        order by 1, 2
    """
    assert answers(built, orders) == rows("""
        person     | cur | orders | sales   | discounts | refunds | value   | first            | most_recent
        r1+s51+l91 | VND | 8      | 1535000 | 140000    | 335000  | 1060000 | 2026-06-01 10:00 | 2026-06-08 10:00
        r2         | VND | 8      | 1050000 | 96000     | 90000   | 864000  | 2026-06-02 11:00 | 2026-06-19 10:00
        r3         | USD | 2      | 16.1    | 0.82      | 0       | 15.28   | 2026-06-05 10:00 | 2026-06-05 12:00
        r3         | VND | 2      | 210000  | 0         | 0       | 210000  | 2026-06-01 08:00 | 2026-06-11 06:00
        r99        | VND | 1      | 100000  | 0         | 0       | 100000  | 2026-06-06 10:00 | 2026-06-06 10:00
        s52        | VND | 2      | 390000  | 0         | 0       | 390000  | 2026-06-06 13:00 | 2026-06-12 09:00
    """)  # fmt: skip
    ranking = f"""
        select currency_code, customer_rank, {PERSON.format("customers")}, lifetime_value, order_count
        from reporting.customer_ranking as ranking
        join marts.dim_customers as customers on ranking.person_key = customers.person_key and is_current
        order by 1, 2
    """
    assert answers(built, ranking) == rows("""
        cur | rank | person     | value   | orders
        USD | 1    | r3         | 15.28   | 2
        VND | 1    | r1+s51+l91 | 1060000 | 8
        VND | 2    | r2         | 864000  | 8
        VND | 3    | s52        | 390000  | 2
        VND | 4    | r3         | 210000  | 2
        VND | 5    | r99        | 100000  | 1
    """)
    report = f"""
        select {PERSON.format("customers")}, report.* exclude (person_key, most_recent_order_at)
        from reporting.customer_report as report
        join marts.dim_customers as customers on report.person_key = customers.person_key and is_current
        order by 1, 2
    """
    assert answers(built, report) == rows("""
        person     | cur | orders | first            | value   | facilities | defaulted | principal | outstanding | last
        l92        | USD | 0      |                  | 0       | 1          | 1         | 100       | 100         | 2026-05-15
        r1+s51+l91 | VND | 8      | 2026-06-01 10:00 | 1060000 | 2          | 0         | 1500000   | 700000      | 2026-06-01
        r2         | VND | 8      | 2026-06-02 11:00 | 864000  | 0          | 0         | 0         | 0           |
        r3         | USD | 2      | 2026-06-05 10:00 | 15.28   | 0          | 0         | 0         | 0           |
        r3         | VND | 2      | 2026-06-01 08:00 | 210000  | 0          | 0         | 0         | 0           |
        r99        | VND | 1      | 2026-06-06 10:00 | 100000  | 0          | 0         | 0         | 0           |
        s52        | VND | 2      | 2026-06-06 13:00 | 390000  | 0          | 0         | 0         | 0           |
    """)  # fmt: skip


def test_customers_of_a_period(built: Project) -> None:
    """115 is an order without lines. Long, who bought nothing, is among the people known, a guest is not."""
    report = f"""
        select period, channel, currency_code, customer_rank, {PERSON.format("customers")}, order_count,
            net_after_returns, most_recent_order_at, report.lifetime_value, facility_count, total_outstanding
        from reporting.customer_report_by_period as report
        join marts.dim_customers as customers on report.person_key = customers.person_key and is_current
        where period in ('all', '2026-06')
        order by period desc, currency_code, channel, customer_rank
    """
    shown = answers(built, report)
    in_june = rows("""
        period | channel | cur | rank | person     | orders | kept   | last             | value   | facilities | owes
        all    | all     | USD | 1    | r3         | 2      | 15.28  | 2026-06-05 12:00 | 15.28   | 0          | 0
        all    | app     | USD | 1    | r3         | 2      | 15.28  | 2026-06-05 12:00 | 15.28   | 0          | 0
        all    | all     | VND | 1    | r1+s51+l91 | 8      | 1060000 | 2026-06-08 10:00 | 1060000 | 2         | 700000
        all    | all     | VND | 2    | r2         | 8      | 864000 | 2026-06-19 10:00 | 864000  | 0          | 0
        all    | all     | VND | 3    | s52        | 2      | 390000 | 2026-06-12 09:00 | 390000  | 0          | 0
        all    | all     | VND | 4    | r3         | 2      | 210000 | 2026-06-11 06:00 | 210000  | 0          | 0
        all    | all     | VND | 5    | r99        | 1      | 100000 | 2026-06-06 10:00 | 100000  | 0          | 0
        all    | app     | VND | 1    | r2         | 8      | 864000 | 2026-06-19 10:00 | 864000  | 0          | 0
        all    | app     | VND | 2    | r1+s51+l91 | 6      | 615000 | 2026-06-08 10:00 | 1060000 | 2          | 700000
        all    | app     | VND | 3    | r3         | 2      | 210000 | 2026-06-11 06:00 | 210000  | 0          | 0
        all    | app     | VND | 4    | r99        | 1      | 100000 | 2026-06-06 10:00 | 100000  | 0          | 0
        all    | shopify | VND | 1    | r1+s51+l91 | 2      | 445000 | 2026-06-04 10:00 | 1060000 | 2          | 700000
        all    | shopify | VND | 2    | s52        | 2      | 390000 | 2026-06-12 09:00 | 390000  | 0          | 0
    """)  # fmt: skip
    assert shown == in_june + [("2026-06", *row[1:]) for row in in_june]
    systems = """
        select channel, currency_code, systems, system_count, person_count, customer_count, customer_rate
        from reporting.customer_systems_by_period where period = '2026-06'
        order by currency_code, channel, person_count desc, systems
    """
    assert answers(built, systems) == rows("""
        channel | cur | systems               | count | people | bought | rate
        all     | USD | App only              | 1     | 3      | 1      | 0.333333
        all     | USD | App, Shopify and Lana | 3     | 1      | 0      | 0
        all     | USD | Lana only             | 1     | 1      | 0      | 0
        all     | USD | Shopify only          | 1     | 1      | 0      | 0
        app     | USD | App only              | 1     | 3      | 1      | 0.333333
        app     | USD | App, Shopify and Lana | 3     | 1      | 0      | 0
        app     | USD | Lana only             | 1     | 1      | 0      | 0
        app     | USD | Shopify only          | 1     | 1      | 0      | 0
        all     | VND | App only              | 1     | 3      | 3      | 1
        all     | VND | App, Shopify and Lana | 3     | 1      | 1      | 1
        all     | VND | Lana only             | 1     | 1      | 0      | 0
        all     | VND | Shopify only          | 1     | 1      | 1      | 1
        app     | VND | App only              | 1     | 3      | 3      | 1
        app     | VND | App, Shopify and Lana | 3     | 1      | 1      | 1
        app     | VND | Lana only             | 1     | 1      | 0      | 0
        app     | VND | Shopify only          | 1     | 1      | 0      | 0
        shopify | VND | App only              | 1     | 3      | 0      | 0
        shopify | VND | App, Shopify and Lana | 3     | 1      | 1      | 1
        shopify | VND | Lana only             | 1     | 1      | 0      | 0
        shopify | VND | Shopify only          | 1     | 1      | 1      | 1
    """)


def test_lending(built: Project) -> None:
    assert answers(built, "from reporting.financial_summary order by 1, 2") == rows("""
        month      | cur | deposits | withdrawals | disbursals | payments | transactions
        2026-05-01 | USD | 0        | 0           | 100        | 0        | 1
        2026-05-01 | VND | 5000     | 0           | 500000     | 500000   | 3
        2026-06-01 | VND | 0        | 2000        | 1000000    | 300000   | 4
    """)
    facilities = f"""
        select facility_id, {PERSON.format("customers")}, status, currency_code, principal_amount,
            outstanding_balance, disbursed_amount, repaid_amount, payment_count, repayment_ratio,
            days_to_first_payment
        from marts.fct_facilities join marts.dim_customers as customers using (customer_key) order by 1
    """
    assert answers(built, facilities) == rows("""
        facility | customer   | status    | cur | principal | outstanding | disbursed | repaid | payments | ratio | days
        801      | r1+s51+l91 | ACTIVE    | VND | 1000000   | 700000      | 1000000   | 300000 | 2        | 0.3   | 8
        802      | l92        | DEFAULTED | USD | 100       | 100         | 100       | 0      | 0        | 0     |
        803      | r1+s51+l91 | CLOSED    | VND | 500000    | 0           | 500000    | 500000 | 1        | 1     | 18
    """)  # fmt: skip
    movements = """
        select 'out', transaction_id, facility_id, disbursal_number, amount, disbursed_so_far, disbursed_at
            from marts.fct_disbursals
        union all select 'back', transaction_id, facility_id, payment_number, amount, repaid_so_far, paid_at
            from marts.fct_payments
        order by 1, 2
    """
    assert answers(built, movements) == rows("""
        way  | transaction | facility | number | amount  | so_far  | at
        back | 2           | 801      | 1      | 200000  | 200000  | 2026-06-10
        back | 3           | 801      | 2      | 100000  | 300000  | 2026-06-12
        back | 8           | 803      | 1      | 500000  | 500000  | 2026-05-20
        out  | 1           | 801      | 1      | 1000000 | 1000000 | 2026-06-02
        out  | 4           | 802      | 1      | 100     | 100     | 2026-05-16
        out  | 7           | 803      | 1      | 500000  | 500000  | 2026-05-02
    """)
    metrics = """
        select customer_id, currency_code, facility_count, total_principal, total_outstanding,
            last_facility_id, last_facility_opened_on
        from intermediate.int_customer_metrics order by 1, 2
    """
    assert answers(built, metrics) == rows("""
        customer | cur | facilities | principal | outstanding | last_facility | last_opened
        91       | VND | 2          | 1500000   | 700000      | 801           | 2026-06-01
        92       | USD | 1          | 100       | 100         | 802           | 2026-05-15
    """)


def repeated(project: Project, report: str, grain: list[str]) -> list[tuple]:
    """The values of a report's grain that more than one row has."""
    columns = ", ".join(grain)
    return project.query(
        f"select {columns} from {report} group by all having count(*) > 1 order by all"
    )


def test_each_report_has_one_row_for_its_grain(built: Project) -> None:
    """Held here, not each night: reports are grouped by it, and would be made anew to look."""
    assert repeated(built, "marts.fact_sales", ["channel"]) == [("app",), ("shopify",)]
    reports = {
        f"{node['schema']}.{node['name']}": node["config"]["meta"].get("grain")
        for node in built.artifact("manifest")["nodes"].values()
        if node["resource_type"] == "model" and node["schema"] in ("reporting", "restricted")
    }
    assert {report: repeated(built, report, grain) for report, grain in reports.items()} == (
        dict.fromkeys(reports, [])
    )


def test_a_full_rebuild_gives_the_same_facts(built: Project, tmp_path: Path) -> None:
    project = built.copy(tmp_path)
    sql = "from marts.fct_orders order by order_key", "from marts.fact_sales order by sale_key"
    before = [project.query(query) for query in sql]
    result = project.dbt("run", "--full-refresh", "--select", "fct_orders", "fact_sales")
    assert result.returncode == 0, result.stdout
    assert [project.query(query) for query in sql] == before


def test_a_range_of_days_is_replaced_exactly(built: Project, tmp_path: Path) -> None:
    """Rows are bent, lost and made up around the 3rd to the 7th of June, which are replaced."""
    project = built.copy(tmp_path)
    bent = "order_key in ('app-103', 'app-114', 'app-112', 'shopify-508', 'app-121')"
    right = project.query("from marts.fact_sales order by sale_key")
    project.execute(f"""
        update marts.fact_sales set extended_net_amount = 1 where {bent};
        delete from marts.fact_sales where sale_key in ('app-105-2', 'shopify-5007');
        insert into marts.fact_sales by name
            select * replace ('made up' as sale_key, 0 as line_id)
            from marts.fact_sales where sale_key = 'app-106-2'
    """)
    days = json.dumps({"from_day": "2026-06-03", "to_day": "2026-06-07"})
    result = project.dbt("run", "--select", "fact_sales", "--vars", days)
    assert result.returncode == 0, result.stdout
    found = project.query("from marts.fact_sales order by sale_key")
    assert [row[0] for row in found] == [row[0] for row in right]
    assert [new[0] for old, new in zip(right, found, strict=True) if old != new] == [
        *("app-103-1", "app-121-2"),
    ]
    result = project.dbt("run", "--select", "fact_sales", "--vars", '{"from_day": "2026-06-03"}')
    assert result.returncode != 0
    assert "a range of days has both, from_day and to_day" in result.stdout

"""The shop's models on DuckDB: exact values from ugly rows, and guards that name each loss."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
from dbt_project import Project
from shop_tables import make_shop_tables

READ_AT = "2026-03-02 02:00:00"
BEFORE, AFTER = "2026-03-01 00:00:00", "2026-03-02 02:00:01"
SELECT = ("--select", "staging.shopify", "--indirect-selection", "buildable")
BIG = "1234567890123456.78"  # more digits than a double has
GUARDS = {
    "lines": "assert_complete_order_lines",
    "transactions": "assert_complete_transactions",
    "refunds": "assert_complete_refunds",
}


def gid(kind: str, number: int) -> str:
    return f"gid://shopify/{kind}/{number}"


def money(amount: str) -> dict[str, Any]:
    return {"shopMoney": {"amount": amount, "currencyCode": "VND"}}


def allocation(index: int, amount: str) -> dict[str, Any]:
    return {"allocatedAmountSet": money(amount), "discountApplication": {"index": index}}


def line(number: int, order: int, quantity: int, price: str, total: str, *off: dict) -> dict:
    return {
        "id": gid("LineItem", number),
        "__parentId": gid("Order", order),
        "product": {"id": gid("Product", 1)},
        "variant": {"id": gid("ProductVariant", 1)},
        "title": 'Ấm "trà" 🫖',
        "sku": None,
        "vendor": "Rainbow",
        "quantity": quantity,
        "originalUnitPriceSet": money(price),
        "originalTotalSet": money(total),
        "discountAllocations": list(off),
    }


def order(number: int, quantity: int, subtotal: str, lines: list[dict], **fields: Any) -> dict:
    return {
        "id": gid("Order", number),
        "name": f"#{1000 + number}",
        "test": False,
        "edited": False,
        "taxesIncluded": True,
        "currencyCode": "VND",
        "presentmentCurrencyCode": "VND",
        "customer": {"id": gid("Customer", 1)},
        "displayFinancialStatus": "PAID",
        "displayFulfillmentStatus": "UNFULFILLED",
        "paymentGatewayNames": ["vnpay", "gift_card"],
        "transactionsCount": {"count": 0, "precision": "EXACT"},
        "subtotalLineItemsQuantity": quantity,
        "currentSubtotalLineItemsQuantity": quantity,
        "subtotalPriceSet": money(subtotal),
        "totalPriceSet": money(subtotal),
        "totalRefundedSet": money("0.0"),
        "totalTipReceivedSet": money("0.0"),
        "lineItems": lines,
        "discountApplications": [],
        "processedAt": "2026-02-01 00:00:00",
        "createdAt": "2026-02-01 00:00:00",
        "updatedAt": BEFORE,
        **fields,
    }


def child(kind: str, number: int, order: int, **fields: Any) -> dict[str, Any]:
    return {
        "id": gid(kind, number),
        "order": {"id": gid("Order", order)},
        "createdAt": BEFORE,
        "_sdc_extracted_at": READ_AT,
        **fields,
    }


def transaction(number: int, order: int, kind: str, amount: str, **fields: Any) -> dict[str, Any]:
    return child("OrderTransaction", number, order) | {
        "kind": kind,
        "status": "SUCCESS",
        "gateway": "vnpay",
        "amountSet": money(amount),
        "processedAt": None,
        **fields,
    }


ROWS: dict[str, list[dict[str, Any]]] = {
    "customers": [
        {"id": gid("Customer", 1), "firstName": "Ánh", "lastName": None, "email": "Anh@Example.com"}
        | {"phone": "+84 90", "state": "DISABLED", "createdAt": BEFORE, "updatedAt": BEFORE},
        {"id": gid("Customer", 2), "_sdc_deleted_at": BEFORE},
    ],
    "products": [
        {"id": gid("Product", 1), "title": "Ấm", "vendor": "", "productType": "Trà"}
        | {"status": "ACTIVE", "tags": ["it's", 'a "b"', "🔥"], "isGiftCard": False},
        {
            "id": gid("Product", 2),
            "title": "Thẻ",
            "status": "DRAFT",
            "tags": [],
            "isGiftCard": True,
        },
    ],
    "product_variants": [
        {"id": gid("ProductVariant", 1), "product": {"id": gid("Product", 1)}, "title": "S"}
        | {"price": BIG, "compareAtPrice": None, "inventoryQuantity": -3},
    ],
    "orders": [
        # Two lines, two discounts, one of them on both; the second line's cents are no double's.
        order(
            1,
            3,
            "1234567890123456.61",
            [
                line(11, 1, 2, "0.1", "0.2", allocation(0, "0.1"), allocation(1, "0.05")),
                line(12, 1, 1, BIG, BIG, allocation(1, "0.22")),
            ],
            discountApplications=[
                {"index": 0, "__typename": "AutomaticDiscountApplication", "title": "Mùa hè"},
                {"index": 1, "__typename": "DiscountCodeApplication", "code": "GIAM"},
            ],
            totalDiscountsSet=money("0.37"),
            transactionsCount={"count": 2, "precision": "EXACT"},
        ),
        # A guest's, one of whose two units came back.
        order(
            2,
            2,
            "200.0",
            [line(21, 2, 2, "100.0", "200.0") | {"product": None, "variant": None}],
            customer=None,
            currentSubtotalLineItemsQuantity=1,
            totalRefundedSet=money("100.0"),
            displayFinancialStatus="PARTIALLY_REFUNDED",
            transactionsCount={"count": 2, "precision": "EXACT"},
            paymentGatewayNames=[],
        ),
        # An edit took a unit away, and left it on its line.
        order(
            3,
            1,
            "5.0",
            [line(31, 3, 2, "5.0", "10.0") | {"discountAllocations": None}],
            edited=True,
            currentSubtotalLineItemsQuantity=0,
        ),
        # Paid in dollars: the shop's amounts are rounded, each by itself. And one with a tip.
        order(4, 1, "24999.0", [line(41, 4, 1, "25000.0", "25000.0")])
        | {"presentmentCurrencyCode": "USD"},
        order(5, 1, "7.0", [line(51, 5, 1, "7.0", "7.0"), line(52, 5, 1, "1.5", "1.5")])
        | {"totalTipReceivedSet": money("1.5")},
        # Nothing to deliver, and one that was deleted.
        order(6, 0, "0.0", []) | {"lineItems": None, "discountApplications": None},
        order(7, 1, "9.0", [line(71, 7, 1, "9.0", "9.0")]) | {"_sdc_deleted_at": BEFORE},
    ],
    "transactions": [
        transaction(1, 1, "AUTHORIZATION", BIG),
        transaction(2, 1, "CAPTURE", BIG, parentTransaction={"id": gid("OrderTransaction", 1)}),
        transaction(3, 2, "SALE", "200.0"),
        transaction(4, 2, "REFUND", "100.0", parentTransaction=None, gateway=None),
    ],
    "order_refunds": [
        child("Refund", 1, 2, updatedAt=BEFORE)
        | {
            "refundLineItems": [
                {
                    "id": gid("RefundLineItem", 1),
                    "quantity": 1,
                    "restockType": "NO_RESTOCK",
                    "lineItem": {"id": gid("LineItem", 21)},
                    "subtotalSet": money("92.59"),
                    "totalTaxSet": money("7.41"),
                }
            ]
        },
    ],
}


def project_with(directory: Path, rows: dict[str, list[dict[str, Any]]]) -> Project:
    project = Project(directory)
    project.warehouse.unlink(missing_ok=True)
    make_shop_tables(project.warehouse, rows)
    return project


@pytest.fixture(scope="module")
def built(parsed: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The warehouse after the models and their tests. Not to be written to: copy it."""
    project = project_with(parsed.copy(tmp_path_factory.mktemp("shop")).directory, ROWS)
    result = project.dbt("build", *SELECT)
    assert result.returncode == 0, result.stdout
    assert project.results("warn", "skipped") == set()
    assert project.results("pass") >= {*GUARDS.values()}
    return project


def test_orders(built: Project) -> None:
    columns = "order_id, customer_id, order_name, financial_status, payment_gateway, quantity"
    columns += ", current_quantity, transaction_count, is_edited, ordered_at, cancelled_at"
    paid = "2026-02-01 00:00:00"
    assert built.query(f"select {columns} from staging.stg_shopify__orders order by 1") == [
        (1, 1, "#1001", "paid", "vnpay", 3, 3, 2, False, paid, None),
        (2, None, "#1002", "partially_refunded", None, 2, 1, 2, False, paid, None),
        (3, 1, "#1003", "paid", "vnpay", 1, 0, 0, True, paid, None),
        (4, 1, "#1004", "paid", "vnpay", 1, 1, 0, False, paid, None),
        (5, 1, "#1005", "paid", "vnpay", 1, 1, 0, False, paid, None),
        (6, 1, "#1006", "paid", "vnpay", 0, 0, 0, False, paid, None),
    ]
    amounts = "subtotal_amount, discount_amount, total_amount, refunded_amount, tip_amount"
    sql = f"select {amounts} from staging.stg_shopify__orders where order_id in (1, 2) order by all"
    assert built.query(sql) == [
        ("200.000000000", None, "200.000000000", "100.000000000", "0E-9"),
        *[
            (
                "1234567890123456.610000000",
                "0.370000000",
                "1234567890123456.610000000",
                "0E-9",
                "0E-9",
            )
        ],
    ]


def test_order_lines(built: Project) -> None:
    columns = "order_line_id, order_id, sent_order_id, product_id, variant_id, product_title, sku"
    sql = f"select {columns}, currency_code from staging.stg_shopify__order_lines"
    title = 'Ấm "trà" 🫖'
    assert built.query(f"{sql} where order_id <= 2 order by 1") == [
        (11, 1, 1, 1, 1, title, None, "VND"),
        (12, 1, 1, 1, 1, title, None, "VND"),
        (21, 2, 2, None, None, title, None, "VND"),
    ]
    columns = "order_line_id, quantity, unit_price, gross_amount, discount_amount"
    assert built.query(f"select {columns} from staging.stg_shopify__order_lines order by 1") == [
        (11, 2, "0.100000000", "0.200000000", "0.150000000"),
        (12, 1, f"{BIG}0000000", f"{BIG}0000000", "0.220000000"),
        (21, 2, "100.000000000", "200.000000000", "0E-9"),
        (31, 2, "5.000000000", "10.000000000", "0E-9"),
        (41, 1, "25000.000000000", "25000.000000000", "0E-9"),
        (51, 1, "7.000000000", "7.000000000", "0E-9"),
        (52, 1, "1.500000000", "1.500000000", "0E-9"),
    ]


def test_order_line_discounts(built: Project) -> None:
    assert built.query("from staging.stg_shopify__order_line_discounts order by 1, 2") == [
        (11, 0, 1, "automatic", "Mùa hè", None, "VND", "0.100000000"),
        (11, 1, 1, "code", None, "GIAM", "VND", "0.050000000"),
        (12, 1, 1, "code", None, "GIAM", "VND", "0.220000000"),
    ]


def test_customers(built: Project) -> None:
    assert built.query("from staging.stg_shopify__customers") == [
        (1, "Ánh", None, "Anh@Example.com", "+84 90", "disabled", BEFORE, BEFORE),
    ]


def test_products_and_variants(built: Project) -> None:
    columns = "product_id, title, vendor, product_type, status, tags ->> 1, is_gift_card"
    assert built.query(f"select {columns} from staging.stg_shopify__products order by 1") == [
        (1, "Ấm", "", "Trà", "active", 'a "b"', False),
        (2, "Thẻ", None, None, "draft", None, True),
    ]
    columns = "variant_id, product_id, title, price, compare_at_price, inventory_quantity"
    assert built.query(f"select {columns} from staging.stg_shopify__product_variants") == [
        (1, 1, "S", f"{BIG}0000000", None, -3),
    ]


def test_transactions(built: Project) -> None:
    columns = "transaction_id, order_id, parent_transaction_id, kind, status, gateway, amount"
    assert built.query(f"select {columns} from staging.stg_shopify__transactions order by 1") == [
        (1, 1, None, "authorization", "success", "vnpay", f"{BIG}0000000"),
        (2, 1, 1, "capture", "success", "vnpay", f"{BIG}0000000"),
        (3, 2, None, "sale", "success", "vnpay", "200.000000000"),
        (4, 2, None, "refund", "success", None, "100.000000000"),
    ]


def test_refunds(built: Project) -> None:
    assert built.query("from staging.stg_shopify__refunds") == [(1, 2, BEFORE, BEFORE)]
    assert built.query("from staging.stg_shopify__refund_lines") == [
        (1, 1, 2, 21, "no_restock", "VND", 1, "92.590000000", "7.410000000", BEFORE),
    ]


def named_by_guards(built: Project, project: Project) -> dict[str, list[int]]:
    """The orders that each guard names, by the SQL that dbt compiled and with little memory."""
    compiled = built.directory / "target/compiled/headwater"
    with duckdb.connect(str(project.warehouse), config={"memory_limit": "300MB"}) as warehouse:
        warehouse.execute("create schema staging")
        for path in sorted((compiled / "models/staging/shopify").glob("*.sql")):
            warehouse.execute(f"create view staging.{path.stem} as {path.read_text()}")
        found = {}
        for name, guard in GUARDS.items():
            sql = (compiled / f"tests/{guard}.sql").read_text()
            rows = warehouse.execute(f"select order_id from ({sql}) order by 1").fetchall()
            found[name] = [order_id for (order_id,) in rows]
        return found


def lines_of(rows: dict, number: int) -> list[dict]:
    return rows["orders"][number - 1]["lineItems"]


def misplace_a_line(rows: dict) -> None:
    lines_of(rows, 2).append(lines_of(rows, 1).pop())


def swap_two_alike(rows: dict) -> None:
    """No sum changes: only what Shopify says of the line tells it."""
    rows["orders"] += [order(n, 1, "3.0", [line(n * 10 + 1, n, 1, "3.0", "3.0")]) for n in (8, 9)]
    rows["orders"][7]["lineItems"], rows["orders"][8]["lineItems"] = (
        rows["orders"][8]["lineItems"],
        rows["orders"][7]["lineItems"],
    )


def misplace_without_a_word(rows: dict) -> None:
    misplace_a_line(rows)
    for number in (1, 2):
        for some in lines_of(rows, number):
            del some["__parentId"]


def double_a_line(rows: dict) -> None:
    lines_of(rows, 2).append(lines_of(rows, 2)[0] | {"id": gid("LineItem", 22)})


def bend_an_amount(rows: dict) -> None:
    lines_of(rows, 1)[1]["originalTotalSet"] = money("1234567890123456.79")


def lose_a_discount(rows: dict) -> None:
    lines_of(rows, 1)[0]["discountAllocations"].pop()


def lose_a_transaction(rows: dict) -> None:
    del rows["transactions"][0]


def lose_a_refund(rows: dict) -> None:
    rows["order_refunds"].clear()


def lose_a_refund_line(rows: dict) -> None:
    rows["order_refunds"][0]["refundLineItems"].clear()


def change_after_the_read(rows: dict) -> None:
    """Orders are read after refunds, and before transactions."""
    rows["orders"][0] |= {"updatedAt": AFTER, "transactionsCount": {"count": 9}}
    rows["orders"][0] |= {"totalRefundedSet": money("1"), "currentSubtotalLineItemsQuantity": 2}
    rows["transactions"].append(transaction(5, 3, "SALE", "1"))
    rows["order_refunds"].append(child("Refund", 2, 3, updatedAt=BEFORE))


@pytest.mark.parametrize(
    ("fault", "guard", "orders"),
    [
        (misplace_a_line, "lines", [1, 2]),
        (swap_two_alike, "lines", [8, 9]),
        (misplace_without_a_word, "lines", [1, 2]),
        (lambda rows: lines_of(rows, 1).pop(), "lines", [1]),
        (lambda rows: lines_of(rows, 3).clear(), "lines", [3]),
        (lambda rows: lines_of(rows, 4).clear(), "lines", [4]),
        (double_a_line, "lines", [2]),
        (bend_an_amount, "lines", [1]),
        (lose_a_discount, "lines", [1]),
        (lose_a_transaction, "transactions", [1]),
        (lambda rows: rows["transactions"].clear(), "transactions", [1, 2]),
        (lose_a_refund, "refunds", [2]),
        (lose_a_refund_line, "refunds", [2]),
        (change_after_the_read, None, []),
    ],
)
def test_guards(
    built: Project,
    tmp_path: Path,
    fault: Callable[[dict], object],
    guard: str | None,
    orders: list[int],
) -> None:
    rows = copy.deepcopy(ROWS)
    fault(rows)
    found = named_by_guards(built, project_with(tmp_path, rows))
    assert found == dict.fromkeys(GUARDS, []) | ({guard: orders} if guard else {})


def test_guards_turn_the_build_red(built: Project, tmp_path: Path) -> None:
    rows = copy.deepcopy(ROWS)
    double_a_line(rows)
    lose_a_transaction(rows)
    lose_a_refund(rows)
    built.copy(tmp_path)
    project = project_with(tmp_path, rows)
    assert project.dbt("build", *SELECT).returncode == 1
    assert project.results("fail") == {*GUARDS.values()}


def test_an_order_with_every_line_of_the_shop_fits_in_memory(
    built: Project, tmp_path: Path
) -> None:
    lines = [line(100 + i, 1, 1, "1.0", "1.0", allocation(0, "0.5")) for i in range(3000)]
    rows = {"orders": [order(1, 1, "1.0", lines)]}
    assert named_by_guards(built, project_with(tmp_path, rows))["lines"] == [1]

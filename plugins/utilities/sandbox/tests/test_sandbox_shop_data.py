"""The shop's documents: they are Shopify's in form, and their sums agree as Shopify's do."""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import graphql
import pytest
from headwater_sandbox.generator import World, lana_person, person, product
from headwater_sandbox.shopify import data, store
from headwater_sandbox.shopify.documents import number_of, shopper
from headwater_sandbox.shopify.schema import load

SCALE = 0.4
TICKS = 14
CURRENCIES = ("shopMoney", "presentmentMoney")


def make(path: Path, seed: int, ticks: int = TICKS, scale: float = SCALE) -> sqlite3.Connection:
    connection = store.connect(path)
    data.seed(connection, scale, seed)
    for _ in range(ticks):
        data.tick(connection)
    return connection


def documents(connection: sqlite3.Connection, kind: str) -> list[dict[str, Any]]:
    rows = connection.execute(
        "select document from documents where kind = ? order by number", (kind,)
    )
    return [json.loads(document) for (document,) in rows]


@pytest.fixture(scope="module", params=[1, 2])
def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    """History and the days after it, for two seeds."""
    path = tmp_path_factory.mktemp("shop") / "shop.sqlite"
    with make(path, request.param) as connection:
        yield connection
    connection.close()


@pytest.fixture(scope="module")
def orders(shop: sqlite3.Connection) -> list[dict[str, Any]]:
    return documents(shop, "Order")


def amounts(bags: list[dict]) -> tuple[Decimal, Decimal]:
    """The sum of MoneyBags, in the shop's currency and in the customer's."""
    return tuple(sum(Decimal(bag[c]["amount"]) for bag in bags) for c in CURRENCIES)


def plus(*sums: tuple[Decimal, Decimal]) -> tuple[Decimal, Decimal]:
    return tuple(map(sum, zip(*sums, strict=True)))


def minus(one: tuple[Decimal, Decimal], other: tuple[Decimal, Decimal]) -> tuple[Decimal, Decimal]:
    return tuple(a - b for a, b in zip(one, other, strict=True))


def allocations(of: dict) -> list[dict]:
    return [a["allocatedAmountSet"] for a in of["discountAllocations"]]


def disagreements(order: dict[str, Any]) -> list[str]:
    """The names of the rules that an order breaks."""
    lines, shipping, refunds = order["lineItems"], order["shippingLine"], order["refunds"]

    def of(field: str) -> tuple[Decimal, Decimal]:
        return amounts([order[field]])

    def all_lines(field: str) -> tuple[Decimal, Decimal]:
        return amounts([line[field] for line in lines])

    def moved(*kinds: str) -> tuple[Decimal, Decimal]:
        return amounts(
            [
                t["amountSet"]
                for t in order["transactions"]
                if t["status"] == "SUCCESS" and t["kind"] in kinds
            ]
        )

    off = amounts([a for line in lines for a in allocations(line)])
    zero = (Decimal(0), Decimal(0))
    tax = zero if order["taxesIncluded"] else of("totalTaxSet")
    current_tax = zero if order["taxesIncluded"] else of("currentTotalTaxSet")
    gone = Counter()
    for refund in refunds:
        for row in refund["refundLineItems"]:
            gone[row["lineItem"]["id"]] += row["quantity"]
    removed = sum(line["quantity"] - line["currentQuantity"] - gone[line["id"]] for line in lines)
    taken = [row for refund in refunds for row in refund["refundLineItems"]]
    rules = {
        "a line is its units": all(
            amounts([line["originalTotalSet"]])
            == tuple(a * line["quantity"] for a in amounts([line["originalUnitPriceSet"]]))
            for line in lines
        ),
        "subtotal": of("subtotalPriceSet") == minus(all_lines("originalTotalSet"), off),
        "discounts": of("totalDiscountsSet") == plus(off, amounts(allocations(shipping))),
        "line discounts": all_lines("discountedTotalSet")
        == minus(all_lines("originalTotalSet"), all_lines("totalDiscountSet")),
        "cart discounts": of("cartDiscountAmountSet") == minus(off, all_lines("totalDiscountSet")),
        "shipping": of("totalShippingPriceSet")
        == minus(amounts([shipping["originalPriceSet"]]), amounts(allocations(shipping))),
        "total": of("totalPriceSet")
        == plus(of("subtotalPriceSet"), of("totalShippingPriceSet"), tax),
        "current total": of("currentTotalPriceSet")
        == plus(of("currentSubtotalPriceSet"), of("currentShippingPriceSet"), current_tax),
        "taxes": of("totalTaxSet")
        == amounts([t["priceSet"] for t in order["taxLines"]])
        == amounts([t["priceSet"] for line in lines for t in line["taxLines"]]),
        "received": of("totalReceivedSet") == moved("SALE", "CAPTURE"),
        "refunded": of("totalRefundedSet")
        == moved("REFUND")
        == amounts([refund["totalRefundedSet"] for refund in refunds]),
        "refunded no more than received": of("totalRefundedSet") <= of("totalReceivedSet"),
        "net payment": of("netPaymentSet") == minus(of("totalReceivedSet"), of("totalRefundedSet")),
        "a refund": all(
            amounts([refund["totalRefundedSet"]])
            == minus(
                amounts(
                    [row["subtotalSet"] for row in refund["refundLineItems"]]
                    + [row["subtotalAmountSet"] for row in refund["refundShippingLines"]]
                    + [
                        row["totalTaxSet"]
                        for row in refund["refundLineItems"]
                        if not order["taxesIncluded"]
                    ]
                ),
                amounts([a["amountSet"] for a in refund["orderAdjustments"]]),
            )
            == amounts([t["amountSet"] for t in refund["transactions"]])
            for refund in refunds
        ),
        "quantities": order["subtotalLineItemsQuantity"] == sum(line["quantity"] for line in lines),
        "current quantities": order["currentSubtotalLineItemsQuantity"]
        == sum(line["currentQuantity"] for line in lines),
        "what is gone was removed or refunded": removed == (1 if is_cut(order) else 0),
        "what is left": is_cut(order)
        or of("currentSubtotalPriceSet")
        == minus(of("subtotalPriceSet"), amounts([row["subtotalSet"] for row in taken])),
        "shipping refunded": of("totalRefundedShippingSet")
        == minus(of("totalShippingPriceSet"), of("currentShippingPriceSet"))
        == amounts([row["subtotalAmountSet"] for r in refunds for row in r["refundShippingLines"]]),
        "discounts are what they say": all(
            is_as_said(application, order) for application in order["discountApplications"]
        ),
        "nothing is negative": all(
            Decimal(value["shopMoney"]["amount"]) >= 0
            for key, value in order.items()
            if key.endswith("Set") and key != "refundDiscrepancySet"
        ),
        "number of transactions": order["transactionsCount"]["count"] == len(order["transactions"]),
        "gateways": {t["gateway"] for t in order["transactions"]}
        == set(order["paymentGatewayNames"]),
        "status": status_of(order, moved) == order["displayFinancialStatus"],
        "times": order["createdAt"] <= order["updatedAt"]
        and all(
            order["createdAt"] <= part["createdAt"] <= order["updatedAt"]
            for part in order["transactions"] + refunds + order["fulfillments"]
        ),
    }
    return [name for name, holds in rules.items() if not holds]


def is_as_said(application: dict[str, Any], order: dict[str, Any]) -> bool:
    """A percentage of what it applies to, or an amount, which may be more than there is."""
    index, base, off = application["index"], Decimal(0), Decimal(0)
    on_shipping = application["targetType"] == "SHIPPING_LINE"
    lines = (
        order["lineItems"] if application["targetSelection"] == "ALL" else order["lineItems"][:1]
    )
    for line in [order["shippingLine"]] if on_shipping else lines:
        if number_of(line["id"]) % 100 == 99 and not on_shipping:
            continue
        price = line["originalPriceSet" if on_shipping else "originalTotalSet"]
        base += Decimal(price["presentmentMoney"]["amount"])
        for allocation in line["discountAllocations"]:
            amount = Decimal(allocation["allocatedAmountSet"]["presentmentMoney"]["amount"])
            nth = allocation["discountApplication"]["index"]
            base -= amount if nth < index else 0
            off += amount if nth == index else 0
    value = application["value"]
    if "percentage" in value:
        return 0 <= base * Decimal(str(value["percentage"])) / 100 - off < 1
    each = 1 if application["allocationMethod"] == "ACROSS" else lines[0]["quantity"]
    most = Decimal("0.5") if application["allocationMethod"] == "ACROSS" else Decimal("0.7")
    return 0 <= min(Decimal(value["amount"]) * each, base * most) - off < 1


def is_cut(order: dict[str, Any]) -> bool:
    """An edit took a unit off; one that adds leaves a line of the place 99."""
    added = any(number_of(line["id"]) % 100 == 99 for line in order["lineItems"])
    return order.get("edited", False) and not added


def status_of(order: dict[str, Any], moved: Any) -> str:
    (received, _), (refunded, _) = moved("SALE", "CAPTURE"), moved("REFUND")
    kinds = [t["kind"] for t in order["transactions"] if t["status"] == "SUCCESS"]
    if order["cancelledAt"] and not received:
        return "VOIDED"
    if kinds == ["AUTHORIZATION"]:
        return "AUTHORIZED" if order["capturable"] else "EXPIRED"
    if refunded:
        return "REFUNDED" if refunded == received else "PARTIALLY_REFUNDED"
    if Decimal(order["totalOutstandingSet"]["shopMoney"]["amount"]):
        return "PARTIALLY_PAID" if received else "PENDING"
    return "PAID"


def test_the_sums_of_every_order_agree(orders: list[dict[str, Any]]) -> None:
    assert len(orders) > 800
    broken = {order["name"]: rules for order in orders if (rules := disagreements(order))}
    assert broken == {}


def test_a_wrong_amount_is_noticed(orders: list[dict[str, Any]]) -> None:
    order = next(o for o in orders if o["refunds"] and o["discountApplications"])
    line = json.loads(json.dumps(order))
    line["lineItems"][0]["originalTotalSet"]["shopMoney"]["amount"] = "1.0"
    assert "subtotal" in disagreements(line)
    without = order | {"transactions": order["transactions"][:-1]}
    assert {"number of transactions", "refunded"} <= set(disagreements(without))


def shape_errors(value: Any, of_type: Any, path: str) -> Iterator[str]:
    """Where a document is not of its type; a connection is the list of its nodes."""
    if graphql.is_non_null_type(of_type):
        if value is None:
            yield f"{path} is null"
        of_type = of_type.of_type
    if value is None:
        return
    if getattr(of_type, "name", "").endswith("Connection"):
        of_type = of_type.fields["nodes"].type.of_type
    if graphql.is_list_type(of_type):
        if not isinstance(value, list):
            yield f"{path} is no list"
            return
        for item in value:
            yield from shape_errors(item, of_type.of_type, path)
    elif graphql.is_enum_type(of_type):
        if value not in of_type.values:
            yield f"{path} cannot be {value}"
    elif graphql.is_scalar_type(of_type):
        expected = {"Boolean": bool, "Int": int, "Float": (int, float)}.get(of_type.name, str)
        if not isinstance(value, expected) or (expected is int and isinstance(value, bool)):
            yield f"{path} is no {of_type.name}: {value!r}"
    else:
        if graphql.is_abstract_type(of_type):
            of_type = load("2025-07").type_map[value["__typename"]]
        for key, part in value.items():
            if key == "__typename":
                continue
            if key not in of_type.fields:
                yield f"{path}.{key} is unknown"
                continue
            yield from shape_errors(part, of_type.fields[key].type, f"{path}.{key}")


@pytest.mark.parametrize("kind", store.KINDS)
def test_documents_are_of_shopifys_types(shop: sqlite3.Connection, kind: str) -> None:
    of_type = load("2025-07").type_map[kind]
    found = documents(shop, kind)[:400]
    errors = {error for one in found for error in shape_errors(one, of_type, kind)}
    assert found
    assert errors == set()


def test_an_unknown_field_is_noticed() -> None:
    of_type = load("2025-07").type_map["Product"]
    wrong = {"titel": "x", "status": "GONE", "vendor": None, "totalInventory": "7"}
    assert set(shape_errors(wrong, of_type, "P")) == {
        *("P.titel is unknown", "P.status cannot be GONE", "P.vendor is null"),
        "P.totalInventory is no Int: '7'",
    }


def test_there_is_some_of_everything(orders: list[dict[str, Any]]) -> None:
    lines = [line for order in orders for line in order["lineItems"]]
    refunds = [refund for order in orders for refund in order["refunds"]]
    discounts = [a for order in orders for a in order["discountApplications"]]
    transactions = [t for order in orders for t in order["transactions"]]
    assert {order["displayFinancialStatus"] for order in orders} >= {
        *("PAID", "PENDING", "PARTIALLY_REFUNDED", "REFUNDED", "VOIDED", "EXPIRED"),
    }
    assert {order["displayFulfillmentStatus"] for order in orders} >= {
        *("FULFILLED", "UNFULFILLED", "RESTOCKED"),
    }
    assert {order["taxesIncluded"] for order in orders} == {True, False}
    assert {len(order["paymentGatewayNames"]) for order in orders} == {0, 1, 2}
    assert {a["__typename"] for a in discounts} == {
        *("AutomaticDiscountApplication", "DiscountCodeApplication", "ManualDiscountApplication"),
    }
    assert {(a["targetType"], a["allocationMethod"]) for a in discounts} == {
        *(("LINE_ITEM", "ACROSS"), ("LINE_ITEM", "EACH"), ("SHIPPING_LINE", "ACROSS")),
    }
    assert {a["value"]["__typename"] for a in discounts} == {
        *("MoneyV2", "PricingPercentageValue"),
    }
    assert {row["restockType"] for refund in refunds for row in refund["refundLineItems"]} == {
        *("CANCEL", "NO_RESTOCK", "RETURN"),
    }
    assert {bool(refund["orderAdjustments"]) for refund in refunds} == {True, False}
    assert {bool(refund["refundLineItems"]) for refund in refunds} == {True, False}
    assert {t["kind"] for t in transactions} == {
        *("AUTHORIZATION", "CAPTURE", "REFUND", "SALE", "VOID"),
    }
    assert {t["status"] for t in transactions} == {"FAILURE", "PENDING", "SUCCESS"}
    assert any(line["product"] is None and line["sku"] for line in lines)
    assert {is_cut(order) for order in orders if order["edited"]} == {True, False}
    dollars = [order for order in orders if order["presentmentCurrencyCode"] == "USD"]
    assert 0.01 < len(dollars) / len(orders) < 0.02
    cents = [order["totalPriceSet"]["presentmentMoney"]["amount"] for order in dollars]
    assert any(len(amount.split(".")[1]) == 2 for amount in cents)
    assert {order["currencyCode"] for order in orders} == {"VND"}
    guests = [order for order in orders if order["customer"] is None]
    assert 0.05 < len(guests) / len(orders) < 0.12
    assert all(order["email"] for order in guests)


def test_some_amounts_are_more_than_a_double_holds(orders: list[dict[str, Any]]) -> None:
    tests = [order for order in orders if order["test"]]
    totals = [order["totalPriceSet"]["shopMoney"]["amount"] for order in tests]
    assert tests
    assert all(Fraction(float(total)) != Fraction(total) for total in totals)
    largest = max(
        Decimal(order["totalPriceSet"]["shopMoney"]["amount"])
        for order in orders
        if not order["test"]
    )
    assert largest < 10**10


def test_references_lead_somewhere(shop: sqlite3.Connection, orders: list[dict[str, Any]]) -> None:
    customers = {customer["id"]: customer for customer in documents(shop, "Customer")}
    products = {product["id"]: product for product in documents(shop, "Product")}
    variants = {variant["id"]: variant for variant in documents(shop, "ProductVariant")}
    seen = Counter(order["customer"]["id"] for order in orders if order["customer"])
    assert {id_ for id_ in seen if id_ not in customers} == set()
    for id_, customer in customers.items():
        assert customer["numberOfOrders"] == str(seen[id_])
        spent = sum(
            Decimal(order["netPaymentSet"]["shopMoney"]["amount"])
            for order in orders
            if order["customer"] == {"id": id_} and not order["test"]
        )
        assert Decimal(customer["amountSpent"]["amount"]) == spent
    assert {v["product"]["id"] for v in variants.values()} == set(products)
    assert sorted(v["id"] for p in products.values() for v in p["variants"]) == sorted(variants)
    for order in orders:
        for line in order["lineItems"]:
            if line["product"]:
                assert variants[line["variant"]["id"]]["product"] == line["product"]
                assert products[line["product"]["id"]]["createdAt"] <= order["createdAt"]


def test_a_line_has_the_price_of_its_variant_until_that_changes(
    shop: sqlite3.Connection, orders: list[dict[str, Any]]
) -> None:
    variants = {variant["id"]: variant for variant in documents(shop, "ProductVariant")}
    compared = 0
    for order in orders:
        for line in order["lineItems"] if order["presentmentCurrencyCode"] == "VND" else []:
            variant = line["variant"] and variants[line["variant"]["id"]]
            if variant and variant["updatedAt"] <= order["createdAt"]:
                assert line["originalUnitPriceSet"]["shopMoney"]["amount"] == variant["price"]
                compared += 1
    assert compared > 100


def test_people_and_products_are_rainbows_and_lanas(tmp_path: Path) -> None:
    with make(tmp_path / "shop.sqlite", 1, ticks=0) as connection:
        customers = documents(connection, "Customer")
        variants = documents(connection, "ProductVariant")
        titles = {p["id"]: p["title"] for p in documents(connection, "Product")}
    connection.close()
    world = World(1, SCALE)
    rainbow = {person(n).email for n in range(1, world.totals["customers"] + 1)}
    lana = {lana_person(n, 1).email for n in range(1, world.totals["lana customers"] + 1)}
    where = Counter()
    odd = 0
    for customer in customers:
        email = shopper(number_of(customer["id"]), 1).email
        where[email in rainbow, email in lana] += 1
        if customer["email"]:
            local, _, domain = customer["email"].strip().lower().partition("@")
            assert f"{local.partition('+')[0]}@{domain}" == email
            odd += customer["email"] != email
    share = {known: count / len(customers) for known, count in where.items()}
    assert share == {
        (True, True): pytest.approx(0.3, abs=0.02),
        (True, False): pytest.approx(0.3, abs=0.02),
        (False, True): pytest.approx(0.1, abs=0.02),
        (False, False): pytest.approx(0.3, abs=0.02),
    }
    assert 0.3 < odd / len(customers) < 0.5
    matched = [v for v in variants if (v["sku"] or "").startswith("RB-")]
    assert len(matched) > len(variants) / 3
    for variant in matched:
        number = int(variant["sku"].split("-")[1])
        assert number <= world.totals["products"]
        assert titles[variant["product"]["id"]] == product(number).name


def rows(connection: sqlite3.Connection) -> dict[tuple[str, int], tuple[str, str, str]]:
    return {
        (kind, number): rest
        for kind, number, *rest in connection.execute("select * from documents")
    }


def test_the_same_seed_gives_the_same_history_and_days(tmp_path: Path) -> None:
    found = []
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        with make(tmp_path / name, seed, ticks=5, scale=0.05) as connection:
            found.append(rows(connection))
        connection.close()
    one, again, other = found
    assert one == again
    assert not {key for key in one if one[key] == other.get(key)}


def test_seeding_replaces_what_was_there(tmp_path: Path) -> None:
    with make(tmp_path / "one", 2, ticks=2, scale=0.05) as connection:
        data.seed(connection, 0.02, 1)
        assert connection.execute("select * from clock").fetchall() == [(1, 0.02, "2026-06-30")]
        replaced = rows(connection)
    connection.close()
    with make(tmp_path / "other", 1, ticks=0, scale=0.02) as connection:
        assert replaced == rows(connection)
    connection.close()


def test_volumes(tmp_path: Path) -> None:
    with make(tmp_path / "shop.sqlite", 1, ticks=0, scale=1) as connection:
        counts = dict(connection.execute("select kind, count(*) from documents group by kind"))
        first, last, disorder = connection.execute(
            "select min(created_at), max(updated_at), sum(created_at > updated_at) from documents"
        ).fetchone()
    connection.close()
    assert counts["Order"] == 2_000
    assert counts["Customer"] == 1_200
    assert 250 < counts["Product"] < 300
    assert 450 < counts["ProductVariant"] < 600
    assert (first[:4], last[:10], disorder) == ("2024", "2026-06-30", 0)


def test_a_day_counts_what_it_did(tmp_path: Path) -> None:
    parts = {"transactions": "transactions", "order_refunds": "refunds"}
    totals = Counter()
    with make(tmp_path / "shop.sqlite", 1, ticks=0) as connection:
        for day in range(1, 13):
            before, start = rows(connection), f"2026-07-{day:02d}T00:00:00Z"
            counts = data.tick(connection)
            after = rows(connection)
            for stream, kind in data.STREAMS.items():
                if stream in parts:
                    old, new = (
                        [
                            part["id"]
                            for (kind, _), (*_, text) in found.items()
                            if kind == "Order"
                            for part in json.loads(text)[parts[stream]]
                        ]
                        for found in (before, after)
                    )
                    assert set(old) <= set(new)
                    assert counts[stream] == [len(new) - len(old), 0, 0]
                else:
                    old, new = (
                        {key: row for key, row in found.items() if key[0] == kind}
                        for found in (before, after)
                    )
                    seen = {key for key, (_, updated_at, _) in new.items() if updated_at >= start}
                    assert counts[stream] == [
                        len(new.keys() - old.keys()),
                        len(seen & old.keys()),
                        len(old.keys() - new.keys()),
                    ], stream
                    unseen = {key for key in old.keys() & new.keys() - seen if old[key] != new[key]}
                    # Lines lose a deleted product; the orders do not say that they changed.
                    assert not unseen or (stream == "orders" and counts["products"][2])
                    assert all(json.loads(new[key][2])["lineItems"] for key in unseen)
                totals[stream, "inserted"] += counts[stream][0]
                totals[stream, "updated"] += counts[stream][1]
                totals[stream, "deleted"] += counts[stream][2]
            assert connection.execute("select day from clock").fetchall() == [(start[:10],)]
    connection.close()
    assert {stream for stream in data.STREAMS if not totals[stream, "inserted"]} == set()
    assert {stream for stream in data.STREAMS if not totals[stream, "deleted"]} == {
        *("orders", "transactions", "order_refunds"),
    }


def test_what_happened_to_an_order_stays_so(tmp_path: Path) -> None:
    def past(order: dict[str, Any]) -> dict[str, list]:
        for refund in order["refunds"]:
            for row in refund["refundLineItems"]:
                row["lineItem"] = row["lineItem"]["id"]  # of which the fulfilment goes on
        return {part: order[part] for part in ("transactions", "refunds", "fulfillments")}

    path = tmp_path / "shop.sqlite"
    with make(path, 1, ticks=0) as connection:
        before = {order["id"]: past(order) for order in documents(connection, "Order")}
        for _ in range(TICKS):
            data.tick(connection)
        after = {order["id"]: past(order) for order in documents(connection, "Order")}
    connection.close()
    grown = set()
    for id_, parts in before.items():
        for part, old in parts.items():
            assert after[id_][part][: len(old)] == old
            grown |= {part} if len(after[id_][part]) > len(old) else set()
    assert grown == {"transactions", "refunds", "fulfillments"}

"""The shop's history and its days, written to the documents that the stand-in serves."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from headwater_sandbox.generator import (
    DAYS,
    LINES,
    SECOND,
    SEED,
    VND_PER_USD,
    World,
    date_of,
    day_of,
    day_start,
    low,
    pick,
    rng,
)
from headwater_sandbox.shopify.documents import (
    HUGE,
    OPTIONS,
    Custom,
    Item,
    amount_of,
    buyer_of,
    customer_document,
    deleted_at,
    gid,
    identity,
    order_document,
    price_at,
    product_documents,
    sku_of,
    terms,
    title_of,
    variant_number,
    variants_of,
)

STREAMS = {
    "orders": "Order",
    "customers": "Customer",
    "products": "Product",
    "product_variants": "ProductVariant",
    "transactions": "transactions",
    "order_refunds": "refunds",
}
GUESTS = 12  # one order in so many is a guest's

Offers = Callable[[int, int], list[Item]]  # what there is of a product at a moment; prices in VND


def seed(connection: sqlite3.Connection, scale: float, seed: int = SEED) -> None:
    """Fill the tables with history in one transaction, in place of what they hold."""
    world = World(seed, scale)
    with connection:
        connection.execute("delete from documents")
        connection.execute("delete from clock")
        custom: dict[int, Custom] = {}
        _insert(connection, _orders(world, custom))
        _insert(connection, _products(world))
        _insert(
            connection,
            (
                customer_document(number, at, seed, custom.get(number, Custom()))
                for number, at in world.history("shop customers")
            ),
        )
        connection.execute(
            "insert into clock values (?, ?, ?)", (seed, scale, str(date_of(DAYS - 1)))
        )


def _insert(connection: sqlite3.Connection, documents: Iterator[dict[str, Any]]) -> None:
    connection.executemany("insert into documents values (?, ?, ?, ?, ?)", map(_row, documents))


def _row(document: dict[str, Any]) -> tuple[str, int, str, str, str]:
    *_, kind, number = document["id"].split("/")
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return kind, int(number), document["createdAt"], document["updatedAt"], text


def _products(world: World) -> Iterator[dict[str, Any]]:
    for number, at in world.history("shop products"):
        if not deleted_at(number, at, world.seed):
            product, variants = product_documents(number, at, world.seed)
            yield product
            yield from variants


def _orders(world: World, custom: dict[int, Custom]) -> Iterator[dict[str, Any]]:
    """All orders of history; `custom` is filled with what each customer ordered."""
    made = dict(world.history("shop products"))
    removed = {n for n, at in made.items() if deleted_at(n, at, world.seed)}

    def offers(number: int, at: int) -> list[Item]:
        gone = deleted_at(number, made[number], world.seed)
        if gone and gone <= at:
            return []
        title, vendor = title_of(number, world.seed)
        positions = range(1, variants_of(number, world.seed) + 1)
        return [
            Item(
                None if number in removed else number,
                None if number in removed else variant_number(number, position),
                title,
                OPTIONS[position - 1] if len(positions) > 1 else "Default Title",
                sku_of(number, position),
                vendor,
                price_at(number, position, at, world.seed),
                1,
            )
            for position in positions
        ]

    for number, at in world.history("shop orders"):
        customer = _customer_of(world, number, day_of(at))
        known = customer and {"id": gid("Customer", customer)} | identity(customer, world.seed)
        order = order_document(
            number,
            at,
            world.seed,
            buyer_of(number, known, world.seed),
            _basket(world, number, at, offers),
            day_start(DAYS),
        )
        if customer:
            before = custom.get(customer, Custom())
            custom[customer] = Custom(
                before.orders + 1,
                before.spent + _net_payment(order),
                number,
                max(before.at, _us(order["updatedAt"])),
            )
        yield order


def _customer_of(world: World, number: int, day: int) -> int | None:
    if number % GUESTS == 5:
        return None
    r = rng(world.seed, "shop customer of", number)
    return 1 + int(low(r, 2) * world.known("shop customers", day - 1))


def _basket(world: World, number: int, at: int, offers: Offers) -> list[Item]:
    """What an order is of, in the currency of its terms."""
    r = rng(world.seed, "shop basket", number)
    what = terms(number, at, world.seed)
    if what.test:
        title = "Đơn thử: kiểm tra cổng thanh toán"
        return [Item(None, None, title, None, None, None, HUGE, 1 + number // 150 % 2)]
    products, items = world.known("shop products", day_of(at) - 1), {}
    wanted = LINES[(number * 7 + number // 10 * 3) % 10]
    product = 1 + int(low(r, 2) * products)
    while len(items) < wanted:
        found = [] if product in items else offers(product, at)
        if found:
            item, quantity = pick(r, found), 1 + int(low(r, 6) * 10)
            items[product] = item._replace(quantity=quantity)
        # Past the popular, so that the search ends however few are for sale.
        product = product % products + 1 if not found else 1 + int(low(r, 2) * products)
    basket = list(items.values())
    if number % 90 == 30:
        basket.append(Item(None, None, "Gói quà 🎁", None, None, None, 1_500_000, 1))
    if what.currency == "USD":
        return [item._replace(price=max(1, item.price // VND_PER_USD)) for item in basket]
    return basket


def _net_payment(order: dict[str, Any]) -> int:
    """Received less refunded, in hundredths of VND; nothing for a test."""
    return 0 if order["test"] else amount_of(order["netPaymentSet"]["shopMoney"]["amount"])


def _us(text: str) -> int:
    """The microseconds since 1970 of a DateTime."""
    return int(datetime.fromisoformat(text).timestamp()) * SECOND

"""The shop's history and its days, written to the documents that the stand-in serves.

A day is drawn from the seed, its date and the documents there are, so the same seed and scale give
the same days. Every change sets updatedAt to a moment of that day, but for one that Shopify does
not show either: the lines of a deleted product lose it, and their orders stay as old as they were.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

from headwater_sandbox.generator import (
    DAY,
    DAYS,
    EPOCH,
    FAMILIES,
    GIVENS,
    HOUR,
    LINES,
    MIDDLES,
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
    IDS,
    OPTIONS,
    Custom,
    amount_of,
    compared_prices,
    custom_fields,
    customer_document,
    decimal,
    deleted_at,
    gid,
    identity,
    number_of,
    price_at,
    product_documents,
    shopper,
    sku_of,
    time,
    title_of,
    variant_number,
    variants_of,
)
from headwater_sandbox.shopify.orders import Item, basket_of, net_payment, order_document
from headwater_sandbox.shopify.terms import LIFE, buyer_of, terms

STREAMS = {
    "orders": "Order",
    "customers": "Customer",
    "products": "Product",
    "product_variants": "ProductVariant",
    "transactions": "transactions",
    "order_refunds": "refunds",
}
GUESTS = 12  # one order in so many is a guest's
HUGE = 9_007_199_254_740_993_07  # a test order's price, of more digits than a double has

Offers = Callable[[int, int], list[Item]]  # what there is of a product at a moment; prices in VND


def seed(connection: sqlite3.Connection, scale: float, seed: int = SEED) -> None:
    """Fill the tables with history in one transaction, in place of what they hold."""
    world = World(seed, scale)
    with connection:
        connection.execute("begin immediate")
        connection.execute("delete from documents")
        connection.execute("delete from clock")
        custom: dict[int, Custom] = {}
        _write(connection, _orders(world, custom))
        _write(connection, _products(world))
        customers = world.history("shop customers")
        _write(
            connection,
            (customer_document(n, at, seed, custom.get(n, Custom())) for n, at in customers),
        )
        connection.execute(
            "insert into clock values (?, ?, ?)", (seed, scale, str(date_of(DAYS - 1)))
        )


def tick(connection: sqlite3.Connection) -> dict[str, list[int]]:
    """Let one more day pass, in one transaction.

    Returns for each stream of the tap the records that are new, changed and gone.
    """
    with connection:
        connection.execute("begin immediate")
        seed, scale, today = connection.execute("select seed, scale, day from clock").fetchone()
        day = _Day(connection, World(seed, scale), day_of(_us(today)) + 1)
        day.delete()
        day.change_people()
        day.change_catalogue()
        day.trade()
        _write(connection, day.changed.values())
        connection.execute("update clock set day = ?", (str(date_of(day.number)),))
    return {
        stream: [day.counts[kind, what] for what in ("inserted", "updated", "deleted")]
        for stream, kind in STREAMS.items()
    }


def _write(connection: sqlite3.Connection, documents: Iterable[dict[str, Any]]) -> None:
    connection.executemany(
        "insert or replace into documents values (?, ?, ?, ?, ?)", map(_row, documents)
    )


def _row(document: dict[str, Any]) -> tuple[str, int, str, str, str]:
    *_, kind, number = document["id"].split("/")
    # Without spaces: _Day._forget looks for references as they are written here.
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return kind, int(number), document["createdAt"], document["updatedAt"], text


def _us(text: str) -> int:
    """The microseconds since 1970 of a DateTime or, of a date, of its midnight."""
    when = datetime.fromisoformat(text)
    return (when.replace(tzinfo=EPOCH.tzinfo) - EPOCH) // timedelta(microseconds=1)


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

    for number, at in _placed(world.history("shop orders")):
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
                before.spent + net_payment(order),
                number,
                max(before.at, _us(order["updatedAt"])),
            )
        yield order


def _placed(orders: Iterator[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """To the second: so an order's document says when it was placed, and so how it goes on."""
    return ((number, at // SECOND * SECOND) for number, at in orders)


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


class _Day:
    """The changes of one day, gathered, to be written at once."""

    def __init__(self, connection: sqlite3.Connection, world: World, number: int):
        self.connection = connection
        self.world = world
        self.number = number
        self.start = day_start(number)
        self.end = day_start(number + 1)
        self.r = rng(world.seed, "shop tick", number)
        self.counts: Counter[tuple[str, str]] = Counter()
        self.changed: dict[tuple[str, int], dict[str, Any]] = {}
        # What a product or a variant was, until a moment of the day.
        self.before: dict[tuple[str, int], tuple[int, dict[str, Any]]] = {}

    def delete(self) -> None:
        """Now and then a product with its variants, and a customer who never ordered."""
        old = f"created_at < '{time(self.start - 30 * DAY)}'"
        if self.number % 4 == 0:
            for number in self._sample("Product", 0, old):
                self._forget(number)
                for variant in self._variants(number):
                    self._delete("ProductVariant", variant)
                self._delete("Product", number)
        if self.number % 3 == 0:
            never = "json_extract(document, '$.numberOfOrders') = '0'"
            for number in self._sample("Customer", 0, f"{old} and {never}"):
                self._delete("Customer", number)

    def change_people(self) -> None:
        for number in self._sample("Customer", 5):
            local, domain = shopper(number, self.world.seed).email.split("@")
            first = f"{pick(self.r, MIDDLES)} {pick(self.r, GIVENS)}"
            last = pick(self.r, FAMILIES)
            change = pick(
                self.r,
                (
                    {"firstName": first, "lastName": last, "displayName": f"{last} {first}"},
                    {"email": f"{local}.{self.number}@{domain}"},
                    {"email": f"{local.upper()}+{self.number}@{domain}"},
                    {"phone": pick(self.r, (None, f"+84 {int(self.r.random() * 1e9):09d}"))},
                ),
            )
            self._change("Customer", number, self._some_time(), **change)
        for number, at in self.world.new("shop customers", self.number):
            self._add("Customer", number, customer_document(number, at, self.world.seed))

    def change_catalogue(self) -> None:
        for number in self._sample("Product", 6):
            self._reprice(number, self._some_time())
        for number in self._sample("Product", 1):
            if ("Product", number) not in self.changed:
                title = f"{pick(self.r, GIVENS)} 2.0 “{number}”"
                self._rename(number, title, self._some_time())
        for number in self._sample("ProductVariant", 10):
            if ("ProductVariant", number) not in self.changed:
                stock = int(self.r.random() * 100)
                self._change(
                    *("ProductVariant", number, self._some_time()),
                    inventoryQuantity=stock,
                    sellableOnlineQuantity=stock,
                    availableForSale=stock > 0,
                )
        for number, at in self.world.new("shop products", self.number):
            product, variants = product_documents(number, at, self.world.seed)
            self._add("Product", number, product)
            for variant in variants:
                self._add("ProductVariant", number_of(variant["id"]), variant)

    def _reprice(self, product: int, at: int) -> None:
        percent = 80 + int(self.r.random() * 40)
        variants = []
        for number in self._variants(product):
            price = amount_of(self._read("ProductVariant", number)["price"])
            new = max(100, price * percent // 100_000 * 1000)
            variants.append(
                self._change(
                    *("ProductVariant", number, at),
                    price=decimal(new),
                    compareAtPrice=decimal(price) if price > new else None,
                )
            )
        self._change("Product", product, at, compareAtPriceRange=compared_prices(variants))

    def _rename(self, product: int, title: str, at: int) -> None:
        self._change("Product", product, at, title=title)
        for number in self._variants(product):
            name = self._read("ProductVariant", number)["title"]
            self._change("ProductVariant", number, at, displayName=f"{title} - {name}")

    def trade(self) -> None:
        """Orders move on, and new ones are placed."""
        recent = self.connection.execute(
            "select number, created_at from documents"
            " where kind = 'Order' and created_at >= ? order by number",
            (time(self.start - LIFE * DAY),),
        ).fetchall()
        for id_, created_at in recent:
            number, at = id_ - IDS["Order"], _us(created_at)
            events = terms(number, at, self.world.seed).events
            if any(self.start <= moment < self.end for moment, _ in events):
                self._move_on(number, at)
        for number, at in _placed(self.world.new("shop orders", self.number)):
            customer = _customer_of(self.world, number, self.number)
            known = customer and self._read("Customer", customer)
            buyer = buyer_of(number, known or None, self.world.seed)
            basket = _basket(self.world, number, at, self._offers)
            order = order_document(number, at, self.world.seed, buyer, basket, self.end)
            self._add("Order", number, order)
            self._count(order, {"transactions": [], "refunds": []})
            if known:
                self._buy(order, orders=1, spent=net_payment(order))

    def _move_on(self, number: int, at: int) -> None:
        before = self._read("Order", number)
        buyer = {key: before[key] for key in buyer_of(number, None, self.world.seed)}
        basket = basket_of(before)
        after = order_document(number, at, self.world.seed, buyer, basket, self.end)
        self.changed["Order", number] = after
        self.counts["Order", "updated"] += 1
        self._count(after, before)
        if after["customer"]:
            self._buy(after, orders=0, spent=net_payment(after) - net_payment(before))

    def _count(self, after: dict[str, Any], before: dict[str, Any]) -> None:
        for part in ("transactions", "refunds"):
            self.counts[part, "inserted"] += len(after[part]) - len(before[part])

    def _buy(self, order: dict[str, Any], orders: int, spent: int) -> None:
        number = number_of(order["customer"]["id"])
        customer = self._read("Customer", number)
        last = customer["lastOrder"] and number_of(customer["lastOrder"]["id"])
        custom = Custom(
            int(customer["numberOfOrders"]) + orders,
            amount_of(customer["amountSpent"]["amount"]) + spent,
            number_of(order["id"]) if orders else last,
        )
        self._change("Customer", number, _us(order["updatedAt"]), **custom_fields(custom))

    def _offers(self, product: int, at: int) -> list[Item]:
        found = self._seen("Product", product, at)
        if not found:
            return []
        variants = [
            self._seen("ProductVariant", number_of(variant["id"]), at)
            for variant in found["variants"]
        ]
        return [
            Item(
                product,
                number_of(variant["id"]),
                found["title"],
                variant["title"],
                variant["sku"],
                found["vendor"],
                amount_of(variant["price"]),
                1,
            )
            for variant in variants
        ]

    def _seen(self, kind: str, number: int, at: int) -> dict[str, Any] | None:
        """A document as it was at a moment of the day; None: it was not there."""
        until, old = self.before.get((kind, number), (at, None))
        document = old if at < until else self._read(kind, number)
        return document if document and document["createdAt"] <= time(at) else None

    def _some_time(self) -> int:
        return self.start + int(self.r.random() * 23 * HOUR)

    def _read(self, kind: str, number: int) -> dict[str, Any] | None:
        if (kind, number) in self.changed:
            return self.changed[kind, number]
        row = self.connection.execute(
            "select document from documents where kind = ? and number = ?",
            (kind, IDS[kind] + number),
        ).fetchone()
        return row and json.loads(row[0])

    def _variants(self, product: int) -> list[int]:
        return [number_of(v["id"]) for v in self._read("Product", product)["variants"]]

    def _add(self, kind: str, number: int, document: dict[str, Any]) -> None:
        self.changed[kind, number] = document
        self.counts[kind, "inserted"] += 1

    def _change(self, kind: str, number: int, at: int, **fields: Any) -> dict[str, Any]:
        document = self._read(kind, number)
        if (kind, number) not in self.changed:
            self.counts[kind, "updated"] += 1
            self.before[kind, number] = at, document
        updated_at = max(time(at), document["updatedAt"])
        self.changed[kind, number] = document | fields | {"updatedAt": updated_at}
        return self.changed[kind, number]

    def _delete(self, kind: str, number: int) -> None:
        self.connection.execute(
            "delete from documents where kind = ? and number = ?", (kind, IDS[kind] + number)
        )
        self.counts[kind, "deleted"] += 1

    def _forget(self, product: int) -> None:
        """Lines of orders lose a product that goes, and its variant."""
        gone = [("product", gid("Product", product))]
        gone += [("variant", gid("ProductVariant", n)) for n in self._variants(product)]
        nulls = {f'"{field}":{{"id":"{id_}"}}': f'"{field}":null' for field, id_ in gone}
        found = self.connection.execute(
            "select document, number from documents where kind = 'Order' and instr(document, ?)",
            [next(iter(nulls))],
        ).fetchall()
        for document, number in found:
            for reference, null in nulls.items():
                document = document.replace(reference, null)
            self.connection.execute(
                "update documents set document = ? where kind = 'Order' and number = ?",
                (document, number),
            )

    def _sample(self, kind: str, at_scale_1: float, where: str = "true") -> list[int]:
        """Numbers of some that fit, at least one if any do; never of the newest."""
        numbers = [
            number - IDS[kind]
            for (number,) in self.connection.execute(
                f"select number from documents where kind = ? and {where}"
                " and number < (select max(number) from documents where kind = ?) order by number",
                (kind, kind),
            )
        ]
        wanted = max(1, round(at_scale_1 * self.world.scale))
        return [
            numbers.pop(int(self.r.random() * len(numbers)))
            for _ in range(min(wanted, len(numbers)))
        ]

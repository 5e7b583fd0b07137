"""A day of business: all that happens in the sandbox's database from one midnight to the next.

A day is drawn from the seed, its date and what the database holds, so the same seed and scale give
the same days. Every change sets updated_at to a moment of that day.
"""

from collections import Counter, defaultdict
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg

from headwater_sandbox.generator import (
    DAY,
    EPOCH,
    FAMILIES,
    GIVENS,
    HOUR,
    MIDDLES,
    World,
    copy,
    date_of,
    day_of,
    day_start,
    facility_events,
    lana_person,
    lifecycle,
    moment,
    person,
    pick,
    rng,
    withdrawal,
)

KEYS = {
    "rainbow.categories": "category_id",
    "rainbow.brands": "brand_id",
    "rainbow.sellers": "seller_id",
    "rainbow.promotions": "promotion_id",
    "rainbow.payments": "payment_id",
    "rainbow.products": "product_id",
    "rainbow.customers": "customer_id",
    "rainbow.orders": "order_id",
    "rainbow.order_details": "order_id, product_id",
    "lana.customers": "customer_id",
    "lana.facilities": "facility_id",
    "lana.transactions": "transaction_id",
}
# What nothing refers to.
UNUSED = {
    "rainbow.brands": "not exists (select from rainbow.products p where p.brand_id = t.brand_id)",
    "rainbow.categories": """
        parent_category_id is not null
        and not exists (select from rainbow.products p where p.category_id = t.category_id)
        and not exists (
            select from rainbow.categories c where c.parent_category_id = t.category_id
        )""",
    "rainbow.promotions": """
        expires_at < %(today)s
        and not exists (select from rainbow.products p where p.promotion_id = t.promotion_id)
        and not exists (select from rainbow.order_details d where d.promotion_id = t.promotion_id)
    """,
}


def tick(connection: psycopg.Connection) -> tuple[str, dict[str, list[int]]]:
    """Let one more day pass, in one transaction.

    Returns its date and, for each table, the rows inserted, updated and deleted.
    """
    with connection.transaction():
        seed, scale, today = connection.execute(
            "select seed, scale, day from sandbox.clock for update"
        ).fetchone()
        day = _Day(connection, World(seed, scale), day_of(_us(today)) + 1)
        day.delete()
        day.change_people()
        day.change_catalogue()
        day.trade()
        day.lend()
        day.write()
        connection.execute("update sandbox.clock set day = %s", (date_of(day.number),))
    return str(date_of(day.number)), {
        table: [day.counts[table, what] for what in ("inserted", "updated", "deleted")]
        for table in KEYS
    }


def _us(when: Any) -> int:
    """Microseconds since 1970 of a timestamptz or, for a date, of its midnight."""
    if not isinstance(when, datetime):
        when = datetime.combine(when, datetime.min.time(), EPOCH.tzinfo)
    return (when - EPOCH) // timedelta(microseconds=1)


class _Day:
    """The changes of one day, gathered, then written at once: a row changes once a day."""

    def __init__(self, connection: psycopg.Connection, world: World, number: int):
        self.connection = connection
        self.world = world
        self.number = number
        self.start = day_start(number)
        self.r = rng(world.seed, "tick", number)
        self.counts: Counter[tuple[str, str]] = Counter()
        self.changes: dict[str, dict[tuple, dict[str, Any]]] = defaultdict(dict)
        self.inserts: dict[str, list[tuple]] = defaultdict(list)

    def delete(self) -> None:
        """Old cancelled orders with their lines, some products, and what nothing refers to."""
        orders = self._sample("rainbow.orders", 3, "status = 'cancelled' and updated_at < %(old)s")
        for table in ("rainbow.order_details", "rainbow.orders"):
            self._delete(table, "order_id", orders)
        if self.number % 2 == 0:
            products = self._sample("rainbow.products", 1, "created_at < %(old)s")
            self._delete("rainbow.products", "product_id", products)
        table = list(UNUSED)[self.number % 3]
        self._delete(table, KEYS[table], self._sample(table, 0, UNUSED[table]))

    def change_people(self) -> None:
        for customer in self._sample("rainbow.customers", 40):
            who = person(customer, self.world.seed)
            self._change(
                "rainbow.customers", customer, self._some_time(), **self._new_identity(who.email)
            )
        for customer in self._sample("rainbow.customers", 20, "is_subscribed"):
            self._change("rainbow.customers", customer, self._some_time(), is_subscribed=False)
        for customer in self._sample("lana.customers", 8):
            who = lana_person(customer, self.world.seed)
            change = self._new_identity(who.email)
            change.pop("phone", None)
            status = pick(self.r, ("ACTIVE", "ACTIVE", "INACTIVE", "SUSPENDED"))
            self._change("lana.customers", customer, self._some_time(), status=status, **change)
        for customer, at in self.world.new("customers", self.number):
            self.inserts["rainbow.customers"].append(self.world.customer(customer, at))
        for customer, at in self.world.new("lana customers", self.number):
            self.inserts["lana.customers"].append(self.world.lana_customer(customer, at))

    def change_catalogue(self) -> None:
        """Prices, categories and promotions of products; the names and numbers of the rest."""
        self._change_promotions()
        leaves = self._keys("rainbow.categories", "parent_category_id is not null")
        for product in self._sample("rainbow.products", 5):
            category = pick(self.r, leaves)
            self._change("rainbow.products", product, self._some_time(), category_id=category)
        for product in self._sample("rainbow.products", 3):
            self._change(
                *("rainbow.products", product, self._some_time()),
                product_name=f"{pick(self.r, GIVENS)} 2.0 “{product}”",
            )
        self.repriced = {}
        for product in self._sample("rainbow.products", 50):
            (price,) = self._one(
                "select price from rainbow.products where product_id = %s", product
            )
            price = (price * (80 + int(self.r.random() * 40)) / 100).quantize(Decimal("0.01"))
            at = self._some_time()
            self.repriced[product] = at, price
            self._change("rainbow.products", product, at, price=price)
        for seller in self._sample("rainbow.sellers", 5):
            rating = 3 + self.r.random() * 2
            self._change("rainbow.sellers", seller, self._some_time(), rating_average=rating)
        renamed = {
            "rainbow.sellers": "seller_name",
            "rainbow.brands": "brand_name",
            "rainbow.categories": "category_name",
        }
        table = list(renamed)[self.number % 3]
        for key in self._sample(table, 0):
            name = f"{pick(self.r, GIVENS)} & {pick(self.r, GIVENS)} {key}"
            self._change(table, key, self._some_time(), **{renamed[table]: name})
        if self.number % 15 == 0:
            fee = round(self.r.random() / 20, 4)
            self._change("rainbow.payments", 1 + self.number % 8, self._some_time(), fee_rate=fee)
        brands = self._keys("rainbow.brands")
        for kind, make in {
            "categories": self.world.category,
            "brands": self.world.brand,
            "sellers": self.world.seller,
            "promotions": self.world.promotion,
            "products": self.world.product,
        }.items():
            for number, at in self.world.new(kind, self.number):
                row = make(number, at)
                if kind == "products":  # what it refers to may have ended since it was thought of
                    category = row[2] if row[2] in leaves else pick(self.r, leaves)
                    brand = row[4] if row[4] in brands else None
                    promotion = row[5] if self._is_on(row[5], at) else None
                    row = (*row[:2], category, row[3], brand, promotion, *row[6:])
                self.inserts[f"rainbow.{kind}"].append(row)

    def _change_promotions(self) -> None:
        """Promotions that end take themselves off the products; some end early, some begin."""
        self.promotions = {
            key: (_us(starts), expires and _us(expires), coupon_type, treatment)
            for key, starts, expires, coupon_type, treatment in self.connection.execute(
                "select promotion_id, starts_at, expires_at, coupon_type, price_treatment"
                " from rainbow.promotions order by promotion_id"
            )
        }
        running = [key for key in self.promotions if self._is_on(key, self.start)]
        if self.number % 4 == 0 and running:
            key, at = pick(self.r, running), self._some_time()
            self._change("rainbow.promotions", key, at, expires_at=moment(at))
            self.promotions[key] = self.promotions[key][0], at, *self.promotions[key][2:]
        for product, promotion in self.connection.execute(
            "select product_id, promotion_id from rainbow.products"
            " where promotion_id is not null order by product_id"
        ):
            _, expires, *_ = self.promotions[promotion]
            if expires and expires < self.start + DAY:
                at = max(expires, self.start)
                self._change("rainbow.products", product, at, promotion_id=None)
        lasting = [key for key in self.promotions if self._is_on(key, self.start + DAY)]
        for product in self._sample("rainbow.products", 10, "promotion_id is null"):
            if not lasting:
                break
            promotion = pick(self.r, lasting)
            *_, coupon_type, treatment = self.promotions[promotion]
            (price,) = self._one(
                "select price from rainbow.products where product_id = %s", product
            )
            if coupon_type == "Percentage" or treatment * 2000 <= price:
                at = self._some_time()
                self._change("rainbow.products", product, at, promotion_id=promotion)

    def _is_on(self, promotion: int | None, at: int) -> bool:
        if promotion not in self.promotions:
            return False
        starts, expires, *_ = self.promotions[promotion]
        return starts <= at < (expires or at + 1)

    def trade(self) -> None:
        """Orders move on, some are changed while they still can be, and new ones are placed."""
        recent = self.connection.execute(
            "select order_id, created_at, status from rainbow.orders"
            " where created_at >= %s order by order_id",
            (moment(self.start - 33 * DAY),),
        ).fetchall()
        for order, created_at, _ in recent:
            for at, status in lifecycle(order, _us(created_at), self.world.seed):
                if self.start <= at < self.start + DAY:
                    self._change("rainbow.orders", order, at, status=status)
        self._change_lines([order for order, _, status in recent if status in ("pending", "paid")])
        offers: dict[int, tuple | None] = {}
        sold: Counter[int] = Counter()

        def price_of(product: int, at: int) -> tuple[int, int | None] | None:
            if product not in offers:
                offers[product] = self._one(
                    "select price, promotion_id, sold_count, review_count, rating_average"
                    " from rainbow.products where product_id = %s",
                    product,
                )
            if not offers[product]:
                return None
            price, promotion, *_ = offers[product]
            since, new_price = self.repriced.get(product, (at, price))
            price = new_price if at >= since else price
            return int(price * 100), promotion if self._is_on(promotion, at) else None

        for order, at in self.world.new("orders", self.number):
            row, lines = self.world.order(order, at, price_of)
            self.inserts["rainbow.orders"].append(row)
            self.inserts["rainbow.order_details"] += lines
            for _, product, _, quantity, *_ in lines:
                sold[product] += quantity
                *_, sold_count, reviews, rating = offers[product]
                change = {"sold_count": sold_count + sold[product]}
                if product % 5 == self.number % 5:
                    stars = 1 + int(self.r.random() * 5)
                    change["review_count"] = reviews + 1
                    change["rating_average"] = ((rating or 0) * reviews + stars) / (reviews + 1)
                self._change("rainbow.products", product, at, **change)

    def _change_lines(self, open_orders: list[int]) -> None:
        """Two kinds of second thoughts: one more of the same, and one line less."""
        for nth in range(max(2, round(6 * self.world.scale))):
            if not open_orders:
                break
            order = open_orders.pop(int(self.r.random() * len(open_orders)))
            at = self._some_time()
            lines = self.connection.execute(
                "select product_id, quantity from rainbow.order_details where order_id = %s"
                " order by product_id",
                (order,),
            ).fetchall()
            product, quantity = lines[0]
            if nth % 2 and len(lines) > 1:
                self.counts["rainbow.order_details", "deleted"] += self.connection.execute(
                    "delete from rainbow.order_details where order_id = %s and product_id = %s",
                    (order, product),
                ).rowcount
            else:
                self._change("rainbow.order_details", (order, product), at, quantity=quantity + 1)
            self._change("rainbow.orders", order, at)

    def lend(self) -> None:
        """Disbursals, payments and defaults as they fall due; deposits and withdrawals."""
        moves: list[tuple] = []
        end = self.start + DAY
        for facility, customer, opened, principal, currency in self.connection.execute(
            "select facility_id, customer_id, opened_on, principal_amount, currency_code"
            " from lana.facilities where status in ('PENDING', 'ACTIVE') order by facility_id"
        ):
            for event in facility_events(
                facility, day_of(_us(opened)), int(principal * 100), self.world.seed
            ):
                if self.start <= event.at < end:
                    self._change(
                        *("lana.facilities", facility, event.at),
                        outstanding_balance=Decimal(event.balance) / 100,
                        status=event.status,
                    )
                    if event.type:
                        what = customer, facility, event.type, event.amount, currency
                        moves.append((event.at, len(moves), what))
        for facility, at in self.world.new("facilities", self.number):
            self.inserts["lana.facilities"].append(self.world.facility(facility, at, None))
        for number, customer, amount, currency, made in self.connection.execute(
            "select transaction_id, customer_id, amount, currency_code, transaction_date"
            " from lana.transactions where type = 'DEPOSIT' and updated_at >= %s"
            " order by transaction_id",
            (moment(self.start - 27 * DAY),),
        ):
            at, part = withdrawal(number, int(amount * 100), _us(made), self.world.seed) or (0, 0)
            if self.start <= at < end:
                moves.append((at, len(moves), (customer, None, "WITHDRAWAL", part, currency)))
        due = self.world.known("transactions", self.number)
        due -= self.world.known("transactions", self.number - 1)
        deposits = max(1, due - len(moves))
        for nth in range(deposits):
            at = self.start + int((nth + 0.5) * 23 * HOUR / deposits)
            moves.append((at, len(moves), None))
        (last,) = self._one("select max(transaction_id) from lana.transactions")
        for number, (at, _, what) in enumerate(sorted(moves), last + 1):
            if what is None:
                customer, amount, currency = self.world.deposit_terms(number, at)
                what = customer, None, "DEPOSIT", amount, currency
            self.inserts["lana.transactions"].append(self.world.transaction(number, *what, at))

    def write(self) -> None:
        """Write the gathered changes and new rows."""
        for table, key_columns in KEYS.items():
            if rows := self.inserts[table]:
                self.counts[table, "inserted"] += copy(self.connection, table, rows)
            alike = defaultdict(list)
            for key, change in self.changes[table].items():
                alike[tuple(change)].append((*change.values(), *key))
            for columns, rows in alike.items():
                sets = ", ".join(f"{column} = %s" for column in columns)
                keys = " and ".join(f"{column} = %s" for column in key_columns.split(", "))
                with self.connection.cursor() as cursor:
                    cursor.executemany(f"update {table} set {sets} where {keys}", rows)
                    self.counts[table, "updated"] += cursor.rowcount

    def _some_time(self) -> int:
        return self.start + int(self.r.random() * 23 * HOUR)

    def _new_identity(self, email: str) -> dict[str, str | None]:
        """A new name, e-mail or phone."""
        local, domain = email.split("@")
        name = " ".join(pick(self.r, words) for words in (FAMILIES, MIDDLES, GIVENS))
        return pick(
            self.r,
            (
                {"full_name": name},
                {"email": f"{local}.{self.number}@{domain}"},
                {"phone": pick(self.r, (None, f"+84 {int(self.r.random() * 1e9):09d}"))},
            ),
        )

    def _change(self, table: str, key: int | tuple, at: int, **columns: Any) -> None:
        change = self.changes[table].setdefault(key if isinstance(key, tuple) else (key,), {})
        change["updated_at"] = max(moment(at), change.get("updated_at", ""))
        change.update(columns)

    def _delete(self, table: str, column: str, keys: list[int]) -> None:
        self.counts[table, "deleted"] += self.connection.execute(
            f"delete from {table} where {column} = any(%s)", (keys,)
        ).rowcount

    def _sample(self, table: str, at_scale_1: float, where: str = "true") -> list[int]:
        """Keys of rows that fit, the same ones for the same seed and day; at least one if any do.

        The newest row never is deleted, for its number must not come again.
        """
        key = KEYS[table]
        rows = self.connection.execute(
            f"select {key} from {table} t "
            f"where {where} and {key} < (select max({key}) from {table})"
            f" order by md5(%(salt)s || {key}::text), {key} limit %(limit)s",
            {
                "today": moment(self.start),
                "old": moment(self.start - 30 * DAY),
                "salt": f"{self.world.seed}/{self.number}/{self.r.random()}",
                "limit": max(1, round(at_scale_1 * self.world.scale)),
            },
        )
        return [key for (key,) in rows]

    def _keys(self, table: str, where: str = "true") -> list[int]:
        key = KEYS[table]
        rows = self.connection.execute(f"select {key} from {table} where {where} order by {key}")
        return [key for (key,) in rows]

    def _one(self, query: str, *parameters: Any) -> tuple | None:
        return self.connection.execute(query, parameters).fetchone()

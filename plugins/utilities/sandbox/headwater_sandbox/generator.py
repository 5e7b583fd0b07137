"""The people, the goods and two years of business of Rainbow and Lana, drawn from one seed.

Everything about an entity follows from the seed and its number, so that any part can be drawn again
without keeping the rest: history streams to Postgres in bounded memory, a later day continues it,
and another system can know the same people. Amounts are in hundredths of the currency's unit,
moments are microseconds since 1970 in UTC, days count from FIRST_DAY.
"""
# ruff: noqa: SIM905  (word lists read better as text)

import heapq
import json
import unicodedata
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache, lru_cache
from importlib.resources import files
from itertools import accumulate, islice
from random import Random
from typing import Any, NamedTuple

import psycopg

SEED = 1
FIRST_DAY = date(2024, 7, 1)
DAYS = 730  # of history: to the end of 30 June 2026, whatever the wall clock says
RUN_UP = 180  # days before the first order, in which the first entities come to be

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = 1_000_000
HOUR = 3600 * SECOND
DAY = 24 * HOUR
VND_PER_USD = 25_000

# How many there are at the end of history at scale 1, and which share of them before its first day.
SCALED = {
    "customers": (20_000, 0.25),
    "sellers": (300, 0.5),
    "brands": (200, 0.7),
    "products": (5_000, 0.5),
    "orders": (100_000, 0.0),
    "lana customers": (4_000, 0.25),
    "facilities": (5_000, 0.0),
    "transactions": (60_000, 0.0),
    "shop customers": (1_200, 0.25),
    "shop products": (300, 0.5),
    "shop orders": (2_000, 0.0),
}
FIXED = {"categories": 60, "promotions": 40}
# After history there is at least one new entity in so many days, at any scale.
EVERY = {
    "categories": 5,
    "brands": 3,
    "promotions": 4,
    "sellers": 2,
    "shop customers": 2,
    "shop products": 3,
}

# To drop and to create again: checked and built at once they cost a fraction of row by row.
FOREIGN_KEYS_AND_INDEXES = """
    select
        format('alter table %s drop constraint %I', conrelid::regclass, conname),
        format(
            'alter table %s add constraint %I %s',
            conrelid::regclass, conname, pg_get_constraintdef(oid)
        )
    from pg_constraint
    where contype = 'f' and connamespace in ('rainbow'::regnamespace, 'lana'::regnamespace)
    union all
    select format('drop index %s', indexrelid::regclass), pg_get_indexdef(indexrelid)
    from pg_index
    join pg_class on pg_class.oid = indexrelid
    where not indisunique and relnamespace in ('rainbow'::regnamespace, 'lana'::regnamespace)
"""

FAMILIES = (
    "Nguyễn Trần Lê Phạm Hoàng Huỳnh Phan Vũ Võ Đặng Bùi Đỗ Hồ Ngô Dương Lý Đinh Trịnh".split()
)
MIDDLES = "Thị Văn Hữu Đức Minh Ngọc Thanh Quốc Kim Xuân Bảo Gia Hồng Anh".split()
GIVENS = (
    "An Bình Châu Dũng Giang Hà Hạnh Hiếu Hương Khánh Lan Linh Long Mai Nam Nga Nhung Oanh Phúc"
    " Phương Quân Quỳnh Sơn Tâm Thảo Thắng Thủy Trang Trí Tuấn Tuyết Uyên Vân Việt Yến"
).split()
FOREIGNERS = [
    ("José Álvarez", "jose.alvarez"),
    ("Zoë O'Brien-Łukasiewicz", "zoe.obrien"),
    ("محمد علي", "mohammed.ali"),
    ("דוד לוי", "david.levi"),
    ("李小龍", "xiaolong.li"),
    ("김민준", "minjun.kim"),
    ("Søren Åkesson", "soren.akesson"),
    ('Robert "Bob" Smith, Jr.', "bob.smith"),
    ("Дмитрий Шостакович", "dmitri.shostakovich"),
    ("Anaïs d’Août", "anais.daout"),
    ("Siobhán Ní Bhriain", "siobhan.nibhriain"),
    ("Mai 🌸 Tanaka", "mai.tanaka"),
]
CITIES = ["Hà Nội", "TP. Hồ Chí Minh", "Đà Nẵng", "Hải Phòng", "Cần Thơ", "Huế", "Nha Trang"]
STREETS = ["Lê Lợi", "Trần Hưng Đạo", "Hai Bà Trưng", "Nguyễn Huệ", "Điện Biên Phủ", "Hàng Bạc"]
DEPARTMENTS = {
    "Điện tử": "Điện thoại/Máy tính bảng/Tai nghe/Phụ kiện".split("/"),
    "Thời trang nữ": "Đầm/Áo dài/Giày cao gót/Túi xách".split("/"),
    "Thời trang nam": "Áo sơ mi/Quần jean/Giày thể thao/Đồng hồ".split("/"),
    "Nhà cửa": "Nội thất/Đèn/Chăn ga/Trang trí".split("/"),
    "Bếp": "Nồi & chảo/Dao/Ấm trà/Máy xay".split("/"),
    "Sách": "Tiểu thuyết/Thiếu nhi/Kinh tế/Ngoại ngữ".split("/"),
    "Mẹ & bé": "Tã bỉm/Sữa/Đồ chơi/Xe đẩy".split("/"),
    "Làm đẹp": "Son môi/Kem dưỡng/Nước hoa/Tóc".split("/"),
    "Thể thao": "Yoga/Bóng đá/Xe đạp/Cắm trại".split("/"),
    "Tạp hóa": "Cà phê/Trà/Gạo/Gia vị".split("/"),
    "Thú cưng": "Chó/Mèo/Cá cảnh/Chim".split("/"),
    "Văn phòng": "Bút/Giấy/Máy in/Balô".split("/"),
}
CATEGORIES = [(name, None) for name in DEPARTMENTS] + [
    (leaf, number + 1) for number, leaves in enumerate(DEPARTMENTS.values()) for leaf in leaves
]
ADJECTIVES = ["Cao cấp", "Mini", "Siêu nhẹ", 'Bản "Pro"', "Chống nước", "Thủ công", "100% cotton"]
TAGS = [
    "sale",
    "mới về",
    'so-called "best"',
    "a,b",
    "{curly}",
    "back\\slash",
    "",
    None,
    "🔥",
    "NULL",
]
NOTES = [
    "Giao giờ hành chính, gọi trước 15 phút",
    "Line one\nline two\r\nline three",
    "tab\tseparated\tnote",
    'She said "don\'t", twice: \\ and \\N and \\.',
    "👩‍👩‍👧‍👦 quà tặng 🎁, gói đẹp nhé 🇻🇳",
    "سلّم الطلب عند الباب \u200f(الطابق 3)",
    "e\u0301 and é differ; nul-like \\0, \\u0000 as text",
    "line\u2028separator, vertical\x0btab, unit\x1fseparator, next\u0085line",
    "  spaces around  ",
    "",
    "null",
    "=1+1; drop table students; --",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 ﷽ zero\u200bwidth",
]
PAYMENTS = [
    ("Cash on delivery", 0.0, True),
    ("Credit card", 0.029, True),
    ("Thẻ ATM nội địa", 0.011, True),
    ("MoMo", 0.015, True),
    ("ZaloPay", 0.0175, True),
    ("Bank transfer", 0.001, True),
    ("Buy now, pay later 🕒", 0.0333333, True),
    ("Cheque", 0.1, False),
]
HUGE_WEIGHT = "99999999999999999999999999999.999999999"  # all that DECIMAL(38, 9) holds
LINES = (1, 1, 1, 2, 2, 2, 3, 4, 4, 5)  # of ten orders: 25
TERMS = (3, 6, 6, 12)  # months of 30 days


class Person(NamedTuple):
    """One human being, whichever systems know them. `email` is the canonical spelling."""

    number: int
    name: str
    email: str
    phone: str | None
    birth_date: date | None
    city: str


class Product(NamedTuple):
    """What is sold. It cost `original_price` until `changed_at`, and costs `price` since."""

    number: int
    name: str
    price: int
    original_price: int
    changed_at: int
    promotion: int | None
    weight_kg: str | None
    tags: list[str | None] | None
    attributes: str | None
    thumbnail: bytes | None


class Event(NamedTuple):
    """A movement of money in a facility; the balance and the status are those after it."""

    at: int
    type: str | None
    amount: int
    balance: int
    status: str


def rng(seed: int, kind: str, number: int) -> Random:
    """The randomness of one entity. Use only .random(): the rest may differ between Pythons."""
    return Random(f"{seed}/{kind}/{number}")


def pick(r: Random, choices: Sequence) -> Any:
    return choices[int(r.random() * len(choices))]


def moment(us: int) -> str:
    """A timestamptz, as text: COPY takes text several times faster than datetimes."""
    return (EPOCH + timedelta(microseconds=us)).isoformat(" ", "microseconds")


def date_of(day: int) -> date:
    return FIRST_DAY + timedelta(days=day)


def day_start(day: int) -> int:
    return (date_of(day) - EPOCH.date()).days * DAY


def day_of(at: int) -> int:
    """The day a moment is in."""
    return (at - day_start(0)) // DAY


def low(r: Random, power: int) -> float:
    """A fraction, the nearer to 0 the higher the power. (The pow() of C differs by platform.)"""
    value, result = r.random(), 1.0
    for _ in range(power):
        result *= value
    return result


def money(hundredths: int) -> str:
    """A numeric of two decimals, as text."""
    return f"{hundredths // 100}.{hundredths % 100:02d}"


def person(number: int, seed: int = SEED) -> Person:
    """The person of that number, from 1. No two have the same e-mail; some nearly do."""
    r = rng(seed, "person", number)
    if r.random() < 0.08:
        name, local = pick(r, FOREIGNERS)
    else:
        family, given = pick(r, FAMILIES), pick(r, GIVENS)
        name, local = (f"{family} {pick(r, MIDDLES)} {given}", f"{plain(given)}.{plain(family)}")
        if r.random() < 0.05:
            name = unicodedata.normalize("NFD", name)
    domain = pick(r, ("example.com", "example.org", "mail.example"))
    email = f"{local}{number}@{domain}"
    if number % 40 == 0:  # someone else's address but for a character or two
        local, domain = person(number - 1, seed).email.split("@")
        email = (
            f"{local}@example.net",
            f"{local.replace('.', '')}@{domain}",
            f"{local.replace('.', '_')}@{domain}",
            f"{local}@rnail.example",
        )[number // 40 % 4]
    digits = f"{int(r.random() * 1e8):08d}"
    phone = pick(
        r,
        (
            f"+84 9{digits[0]} {digits[1:4]} {digits[4:]}",
            f"09{digits}",
            f"(09{digits[0]}) {digits[1:]}",
            None,
        ),
    )
    born = date(1930, 1, 1) + timedelta(days=int(r.random() * 28_000))
    return Person(number, name, email, phone, None if r.random() < 0.2 else born, pick(r, CITIES))


def plain(text: str) -> str:
    """Lower-case ASCII letters of a Vietnamese word."""
    bare = unicodedata.normalize("NFD", text.replace("đ", "d").replace("Đ", "D"))
    return "".join(c for c in bare.lower() if "a" <= c <= "z")


def spelled(email: str, r: Random, odd: float) -> str:
    """The e-mail as someone typed it: with chance `odd` in other case, spaced, or with a tag."""
    if r.random() >= odd:
        return email
    local, domain = email.split("@")
    return pick(
        r,
        (
            email.upper(),
            local.title() + "@" + domain,
            f" {email}",
            f"{email}  ",
            f"{local}+{pick(r, ('shop', 'lana', 'news.2025'))}@{domain}",
        ),
    )


def product(number: int, seed: int = SEED) -> Product:
    """The product of that number, from 1, as it is at the end of history."""
    price, original_price, changed_at, promotion = pricing(number, seed)
    r = rng(seed, "product", number)
    leaf = CATEGORIES[category_of(number, seed) - 1][0]
    weight = f"{low(r, 3) * 40:.3f}"
    extreme = {7: HUGE_WEIGHT, 8: "0.000000001", 9: None, 10: "1234567890123456.7"}
    attributes = {
        "màu": pick(r, ("đỏ", "xanh", "đen")),
        "size": [int(r.random() * 50), None, "XL"],
        "spec": {"ratio": r.random(), 'quo"te': {"deep": [{"er": True}, []]}},
    }
    exact = '{"id": 12345678901234567890123, "exact": 0.12345678901234567890123456789, "": null}'
    return Product(
        number,
        f"{leaf} {pick(r, ADJECTIVES)} {number}",
        price,
        original_price,
        changed_at,
        promotion,
        extreme.get(number % 100, weight),
        None if r.random() < 0.15 else [pick(r, TAGS) for _ in range(int(r.random() * 4))],
        pick(r, (json.dumps(attributes, ensure_ascii=False),) * 5 + (exact, "{}", "[]", None)),
        None if r.random() < 0.5 else Random.randbytes(r, int(r.random() * 48)),
    )


def category_of(number: int, seed: int) -> int:
    """A leaf category of a product; the last four leaves have none."""
    departments, leaves = len(DEPARTMENTS), len(CATEGORIES) - 4
    return departments + 1 + int(rng(seed, "category", number).random() * (leaves - departments))


@lru_cache(maxsize=20_000)
def pricing(number: int, seed: int) -> tuple[int, int, int, int | None]:
    """price, original_price, when the one replaced the other, and the promotion it is in."""
    r = rng(seed, "pricing", number)
    original = int(20 + low(r, 4) * 10_000) * 100_000
    price = original
    if r.random() < 0.6:
        price = original * (50 + int(r.random() * 50)) // 100
    if r.random() < 0.05:
        price += pick(r, (50, 99, 1))
    price = min(price, original)
    changed_at = day_start(int(r.random() * DAYS)) + int(r.random() * DAY)
    promotion = 1 + int(r.random() * FIXED["promotions"])
    _, coupon_type, treatment, *_ = promotion_of(promotion, seed)
    off = int(treatment * 100_000) if coupon_type == "Fixed Amount" else 0
    # Promotions 10, 20, 30 and 40 never came to be used.
    if promotion % 10 == 0 or off * 2 > price or r.random() < 0.4:
        promotion = None
    return price, original, changed_at, promotion


@cache
def promotion_of(number: int, seed: int) -> tuple[str, str, Decimal, int, int | None]:
    """Name, coupon_type, price_treatment, start and end (None: never) of a promotion."""
    r = rng(seed, "promotion", number)
    name = f"{pick(r, ('Tết', 'Black Friday', 'Mùa hè', '11.11', 'Flash sale ⚡'))} #{number}"
    if r.random() < 0.6:
        coupon_type, treatment = "Percentage", Decimal(20 + int(r.random() * 260)) / 4
    else:
        coupon_type, treatment = "Fixed Amount", Decimal(10 + int(r.random() * 19) * 10)
    starts = day_start(number * 18 - 30)
    expires = starts + int(7 + r.random() * 110) * DAY
    if (later := number - FIXED["promotions"]) > 0:  # from the day after it is made
        starts = day_start(DAYS + later * EVERY["promotions"])
        expires = starts + int(3 + r.random() * 11) * DAY
    elif later > -5:  # the first days after history see some end
        expires = day_start(DAYS + (later + 4) * 2) + 10 * HOUR
    return name, coupon_type, treatment, starts, None if number % 8 == 0 else expires


def lifecycle(order: int, created_at: int, seed: int) -> list[tuple[int, str]]:
    """All that happens to an order in its life of at most 32 days: (moment, status), in order."""
    r = rng(seed, "lifecycle", order)
    fate, at = r.random(), created_at
    steps = [(at, "pending")]
    if fate < 0.005:
        return steps
    if fate < 0.05:
        return [*steps, (at + SECOND + int(r.random() * 2 * DAY), "cancelled")]
    waits = {"paid": (0, 1), "shipped": (0.2, 3), "completed": (1, 6), "refunded": (1, 20)}
    for status, (least, most) in waits.items():
        at += SECOND + int((least + r.random() * (most - least)) * DAY)
        if fate < 0.07 and status == "shipped":
            status = "cancelled"
        if status == "refunded" and fate > 0.12:
            break
        steps.append((at, status))
        if status == "cancelled":
            break
    return steps


def facility_events(facility: int, opened: int, principal: int, seed: int) -> Iterator[Event]:
    """The life of a facility: its disbursals and payments, and the default of some, in order."""
    r = rng(seed, "facility events", facility)
    term, start = pick(r, TERMS), day_start(opened)
    missed = int(r.random() * term) if r.random() < 0.06 else None
    parts = [principal * 3 // 5, principal - principal * 3 // 5]
    parts = parts if r.random() < 0.2 else [principal]
    balance = 0
    for part, days in zip(parts, (1 + int(r.random() * 5), 20), strict=False):
        balance += part
        at = start + days * DAY + int(r.random() * 23 * HOUR)
        yield Event(at, "DISBURSAL", part, balance, "ACTIVE")
    for month in range(1, term + 1):
        at = start + 30 * month * DAY + int(r.random() * 23 * HOUR)
        if missed is not None and month > missed:
            yield Event(at + 90 * DAY, None, 0, balance, "DEFAULTED")
            return
        amount = balance if month == term else principal // term
        balance -= amount
        yield Event(at, "PAYMENT", amount, balance, "ACTIVE" if balance else "CLOSED")


def withdrawal(deposit: int, amount: int, at: int, seed: int) -> tuple[int, int] | None:
    """When (1 to 25 days later) and how much of a deposit is withdrawn, never more than it was."""
    r = rng(seed, "withdrawal", deposit)
    if r.random() < 0.3:
        return None
    later = at // DAY * DAY + (1 + int(r.random() * 25)) * DAY + int(r.random() * 23 * HOUR)
    return later, amount if r.random() < 0.1 else max(1, int(amount * r.random()))


class World:
    """How much of everything there is on each day, and the rows, for one seed and scale.

    The methods named after an entity give the row of that number, in the order of its table's
    columns, as it came to be at a moment.
    """

    def __init__(self, seed: int, scale: float):
        self.seed = seed
        self.scale = scale
        self.totals = {k: max(20, round(n * scale)) for k, (n, _) in SCALED.items()} | FIXED

    def known(self, kind: str, day: int) -> int:
        """How many there are at the end of a day: the numbers 1 to that."""
        total, base = self.totals[kind], SCALED.get(kind, (0, 1.0))[1]
        if day < 0:
            return int(total * base * max(0, day + RUN_UP + 1) / RUN_UP)
        count = int(total * (base + (1 - base) * _share(day)))
        if day >= DAYS:
            count = max(count, total + (day - DAYS + 1) // EVERY.get(kind, 1))
        return count

    def new(self, kind: str, day: int) -> Iterator[tuple[int, int]]:
        """(number, moment) of what comes to be on a day, in order of both, to 23:30."""
        first, last = self.known(kind, day - 1) + 1, self.known(kind, day)
        r, start = rng(self.seed, kind, day), day_start(day)
        slot = 23.5 * HOUR / max(1, last - first + 1)
        for number in range(first, last + 1):
            yield number, start + int((number - first + r.random()) * slot)

    def history(self, kind: str) -> Iterator[tuple[int, int]]:
        for day in range(-RUN_UP, DAYS):
            yield from self.new(kind, day)

    def customer(self, number: int, at: int) -> tuple:
        r = rng(self.seed, "customer", number)
        who = person(number, self.seed)
        return (
            number,
            who.name,
            spelled(who.email, r, 0.1),
            who.phone,
            None if r.random() < 0.15 else address(who.city, r),
            who.birth_date,
            r.random() < 0.4,
            *self._stamps(at, r),
        )

    def seller(self, number: int, at: int) -> tuple:
        r = rng(self.seed, "seller", number)
        return (
            number,
            uuid.UUID(int=int(r.random() * 2**53) << 64 | number, version=4),
            f"{pick(r, ('Shop', 'Nhà', 'Cửa hàng', 'Xưởng'))} {pick(r, GIVENS)} {number}",
            pick(r, (*CITIES, None)),
            None if number % 9 == 4 else 3 + sum(pick(r, (0.1, 0.2)) for _ in range(9)),
            *self._stamps(at, r),
        )

    def category(self, number: int, at: int) -> tuple:
        name, parent = (
            CATEGORIES[number - 1]
            if number <= len(CATEGORIES)
            else (f"Góc mới {number}", 1 + number % len(DEPARTMENTS))
        )
        return number, name, parent, moment(at), moment(at)

    def brand(self, number: int, at: int) -> tuple:
        r = rng(self.seed, "brand", number)
        country = pick(r, ("VN", "VN", "JP", "KR", "US", "DE", None))
        name = f"{pick(r, GIVENS)}{pick(r, ('co', '™', ' & Sons', 'ify'))} {number}"
        return number, name, country, *self._stamps(at, r)

    def promotion(self, number: int, at: int | None = None) -> tuple:
        """A promotion's row, made at a moment, or ten days before it starts."""
        name, coupon_type, treatment, starts, expires = promotion_of(number, self.seed)
        made = moment(at or starts - 10 * DAY)
        ends = moment(expires) if expires else None
        return number, name, coupon_type, treatment, moment(starts), ends, made, made

    def product(self, number: int, at: int) -> tuple:
        """A product as it is at the end of history, or, later, when it is new."""
        r = rng(self.seed, "listing", number)
        what, day = product(number, self.seed), day_of(at)
        promotion = what.promotion
        now = max(at, day_start(DAYS))
        if promotion and (promotion_of(promotion, self.seed)[4] or now + 1) <= now:
            promotion = None
        reviews = 0 if r.random() < 0.2 else int(low(r, 4) * 3000)
        # The newest twentieth of the brands has no products yet.
        brands = self.known("brands", max(-1, day - 1)) * 19 // 20
        return (
            number,
            what.name,
            category_of(number, self.seed),
            1 + int(r.random() * self.known("sellers", max(-1, day - 1))),
            None if r.random() < 0.1 else 1 + int(r.random() * brands),
            promotion,
            money(what.price),
            money(what.original_price),
            what.weight_kg,
            (reviews * 3 + int(r.random() * 2 * reviews)) / reviews if reviews else None,
            reviews,
            reviews * 3,
            what.tags,
            what.attributes,
            what.thumbnail,
            moment(at),
            moment(max(at, what.changed_at) if day < DAYS else at),
        )

    def order(
        self, number: int, at: int, price_of: Callable[[int, int], tuple[int, int | None] | None]
    ) -> tuple[tuple, list[tuple]]:
        """An order's row and its lines, as they are at the end of history or of a later day.

        `price_of(product, moment)`: hundredths of VND and promotion; None: not for sale.
        """
        r = rng(self.seed, "order", number)
        day = day_of(at)
        horizon = day_start(max(DAYS, day + 1))
        changed, status = [s for s in lifecycle(number, at, self.seed) if s[0] < horizon][-1]
        currency = "USD" if r.random() < 0.01 else "VND"
        placed = moment(at)
        products, lines = self.known("products", day - 1), {}
        # Of each ten orders in a row, ten different places in LINES.
        wanted = LINES[(number * 7 + number // 10 * 3) % 10]
        item = 1 + int(low(r, 2) * products)
        while len(lines) < wanted:
            offer = None if item in lines else price_of(item, at)
            if offer:
                price, promotion = offer
                if currency == "USD":
                    price = max(1, price // VND_PER_USD)
                    # A fixed amount off is meant in thousands of VND.
                    promotion = None
                quantity = 1 + int(low(r, 6) * 10)
                lines[item] = (number, item, promotion, quantity, money(price), placed, placed)
            # Past the popular, so that the search ends however few are for sale.
            item = item % products + 1 if not offer else 1 + int(low(r, 2) * products)
        slot = moment(at // HOUR * HOUR + int(24 + r.random() * 72) * HOUR)[:19]
        row = (
            number,
            1 + int(low(r, 2) * self.known("customers", day - 1)),
            1 + int(low(r, 2) * (len(PAYMENTS) - 1)),
            status,
            currency,
            None if r.random() < 0.2 else slot,
            pick(r, NOTES) if r.random() < 0.15 else None,
            placed,
            moment(changed),
        )
        return row, list(lines.values())

    def lana_customer(self, number: int, at: int) -> tuple:
        r = rng(self.seed, "lana customer", number)
        who = lana_person(number, self.seed)
        bank = unicodedata.normalize("NFD", who.name.replace("đ", "d").replace("Đ", "D"))
        capitals = "".join(c for c in bank if not unicodedata.combining(c)).upper()
        return (
            number,
            pick(r, (who.name, capitals)),
            spelled(who.email, r, 0.4),
            pick(r, ("ACTIVE",) * 8 + ("INACTIVE", "SUSPENDED")),
            pick(r, ("INDIVIDUAL",) * 5 + ("BUSINESS",)),
            *self._stamps(at, r),
        )

    def facility_terms(self, number: int, day: int) -> tuple[int, int, str, Decimal]:
        """customer_id, principal, currency_code and annual_rate of a facility opened on a day."""
        r = rng(self.seed, "facility", number)
        customer = 1 + int(r.random() * self.known("lana customers", day - 1))
        principal = int(5 + low(r, 3) * 500) * 100_000_000 + pick(r, (0, 0, 0, 33, 12345))
        currency = "USD" if r.random() < 0.03 else "VND"
        if currency == "USD":
            principal //= VND_PER_USD
        return (
            customer,
            principal,
            currency,
            Decimal(60_000 + int(r.random() * 240_000)).scaleb(-6),
        )

    def facility(self, number: int, at: int, latest: Event | None) -> tuple:
        """A facility's row after its latest event (None: there was none)."""
        day = day_of(at)
        customer, principal, currency, rate = self.facility_terms(number, day)
        return (
            number,
            customer,
            money(principal),
            money(latest.balance if latest else 0),
            rate,
            currency,
            latest.status if latest else "PENDING",
            date_of(day),
            moment(at),
            moment(latest.at if latest else at),
        )

    def deposit_terms(self, number: int, at: int) -> tuple[int, int, str]:
        """customer_id, amount and currency_code of the transaction of that number, a deposit."""
        r = rng(self.seed, "deposit", number)
        customer = 1 + int(r.random() * self.known("lana customers", day_of(at) - 1))
        amount = int(10_000_000 + low(r, 4) * 10_000_000_000)
        if customer % 50:
            return customer, amount, "VND"
        return customer, amount // VND_PER_USD, "USD"

    def transaction(
        self, number: int, customer: int, facility: int | None, type_: str, amount: int,
        currency: str, at: int,
    ) -> tuple:  # fmt: skip
        """A transaction's row; it is recorded up to half an hour after it took place."""
        recorded = moment(at + int(rng(self.seed, "recorded", number).random() * HOUR / 2))
        return (
            *(number, customer, facility, type_, money(amount), currency),
            *(moment(at), recorded, recorded),
        )

    def _stamps(self, at: int, r: Random) -> tuple[str, str]:
        """created_at, and an updated_at of which a third is later, within history."""
        rest = day_start(DAYS) - at
        later = int(r.random() * rest) if rest > 0 and r.random() < 0.33 else 0
        return moment(at), moment(at + later)


def lana_person(number: int, seed: int) -> Person:
    """Whom Lana knows by that number: three in five are customers of Rainbow too."""
    return person(number * 5 - 4 if number % 5 < 3 else 10_000_000 + number, seed)


def address(city: str, r: Random) -> str:
    return json.dumps(
        {
            "street": f"{1 + int(r.random() * 300)} {pick(r, STREETS)}",
            "city": city,
            "geo": {"lat": 8 + r.random() * 15, "lng": 102 + r.random() * 7},
            "tags": [None, "nhà riêng"] if r.random() < 0.3 else [],
        },
        ensure_ascii=False,
    )


@cache
def _day_weights(days: int) -> list[float]:
    """Business done by the end of each day: it grows, and weekends are better."""
    weekday = (0.9, 0.85, 0.9, 1.0, 1.15, 1.35, 1.2)
    return list(
        accumulate(
            weekday[date_of(day).weekday()] * (0.6 + 0.8 * day / DAYS) for day in range(days)
        )
    )


def _share(day: int) -> float:
    """The part of history's business done by the end of a day; above 1 later."""
    done = _day_weights(DAYS + max(0, day - DAYS + 1))
    return done[day] / done[DAYS - 1]


def copy(connection: psycopg.Connection, table: str, rows: Iterable[tuple]) -> int:
    """COPY rows, as wide as the table, into it; how many there were."""
    count = 0
    with connection.cursor() as cursor, cursor.copy(f"copy {table} from stdin") as stream:
        for row in rows:
            stream.write_row(row)
            count += 1
    return count


def read_clock(connection: psycopg.Connection) -> tuple[int, float, date] | None:
    """The seed, the scale and the last day of the data; None: there is no data."""
    # Not to_regclass: it may remember that there was none before another made it.
    (exists,) = connection.execute(
        "select exists (select from pg_tables where (schemaname, tablename) = ('sandbox', 'clock'))"
    ).fetchone()
    return connection.execute("table sandbox.clock").fetchone() if exists else None


def seed(
    connection: psycopg.Connection,
    scale: float,
    seed: int = SEED,
    replace: bool = False,
    progress: Callable[[str, int], None] = lambda table, rows: None,
) -> None:
    """Make the schemas and fill them with history, in one transaction: it is all there, or nothing.

    What is there stays, unless `replace`. `progress` is told each table and its rows.
    """
    world = World(seed, scale)
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(0)")  # one at a time
        if replace:
            connection.execute("drop schema if exists rainbow, lana, sandbox cascade")
        elif read_clock(connection):
            return
        connection.execute(files("headwater_sandbox").joinpath("schema.sql").read_text())
        # The sandbox's own memory: no plugin reads it.
        connection.execute("create schema sandbox")
        connection.execute(
            "create table sandbox.clock (seed bigint, scale double precision, day date)"
        )
        connection.execute(
            "insert into sandbox.clock values (%s, %s, %s)", (seed, scale, date_of(DAYS - 1))
        )
        put_off = connection.execute(FOREIGN_KEYS_AND_INDEXES).fetchall()
        for drop, _ in put_off:
            connection.execute(drop)
        for table, rows in _tables(world):
            progress(table, copy(connection, table, rows))
        _copy_orders(connection, world, progress)
        _copy_credit(connection, world, progress)
        for _, create in put_off:
            connection.execute(create)
    connection.execute("analyze")


def _tables(world: World) -> Iterator[tuple[str, Iterator[tuple]]]:
    def rows(make: Callable[[int, int], tuple], kind: str) -> Iterator[tuple]:
        return (make(number, at) for number, at in world.history(kind))

    opening = day_start(-RUN_UP)
    yield "rainbow.categories", rows(world.category, "categories")
    yield "rainbow.brands", rows(world.brand, "brands")
    yield "rainbow.sellers", rows(world.seller, "sellers")
    yield "rainbow.promotions", map(world.promotion, range(1, FIXED["promotions"] + 1))
    yield (
        "rainbow.payments",
        ((n, *payment, *[moment(opening)] * 2) for n, payment in enumerate(PAYMENTS, 1)),
    )
    yield "rainbow.products", rows(world.product, "products")
    yield "rainbow.customers", rows(world.customer, "customers")
    yield "lana.customers", rows(world.lana_customer, "lana customers")


def _copy_orders(connection: psycopg.Connection, world: World, progress: Callable) -> None:
    def price_of(number: int, at: int) -> tuple[int, int | None]:
        price, original, changed_at, promotion = pricing(number, world.seed)
        if promotion:
            *_, starts, expires = promotion_of(promotion, world.seed)
            if not starts <= at < (expires or at + 1):
                promotion = None
        return price if at >= changed_at else original, promotion

    orders, lines, numbers = 0, 0, world.history("orders")

    def draw() -> list[tuple]:
        return [world.order(number, at, price_of) for number, at in islice(numbers, 5_000)]

    with ThreadPoolExecutor(1) as aside:  # the next are drawn while Postgres takes these
        ahead = aside.submit(draw)
        while chunk := ahead.result():
            ahead = aside.submit(draw)
            orders += copy(connection, "rainbow.orders", (row for row, _ in chunk))
            lines += copy(
                connection, "rainbow.order_details", (line for _, own in chunk for line in own)
            )
    progress("rainbow.orders", orders)
    progress("rainbow.order_details", lines)


def _copy_credit(connection: psycopg.Connection, world: World, progress: Callable) -> None:
    """Transactions in the order they took place, and the facilities as these leave them."""
    opened: dict[int, tuple[int, Event | None]] = {}

    def transactions() -> Iterator[tuple]:
        # One entry for what each facility does next, and for each withdrawal to come.
        queue: list[tuple] = []
        number = 0

        def push(facility: int, events: Iterator[Event]) -> None:
            if event := next(events, None):
                heapq.heappush(queue, (event.at, facility, event, events))

        for day in range(DAYS):
            end = day_start(day + 1)
            for facility, at in world.new("facilities", day):
                _, principal, _, _ = world.facility_terms(facility, day)
                opened[facility] = (at, None)
                push(facility, facility_events(facility, day, principal, world.seed))
            due = []
            while queue and queue[0][0] < end:
                at, facility, event, events = heapq.heappop(queue)
                if facility:
                    opened[facility] = (opened[facility][0], event)
                    push(facility, events)
                due.append((at, facility, event))
            money_moves = [d for d in due if not d[1] or d[2].type]
            # Deposits fill the day up to the number of transactions there shall be by its end.
            room = max(0, world.known("transactions", day) - number - len(money_moves))
            for nth in range(room):
                at = day_start(day) + int((nth + 0.5) * 23 * HOUR / room)
                money_moves.append((at, 0, None))
            for at, facility, what in sorted(money_moves, key=lambda move: move[:2]):
                number += 1
                if facility:
                    customer, _, currency, _ = world.facility_terms(
                        facility, day_of(opened[facility][0])
                    )
                    yield world.transaction(
                        number, customer, facility, what.type, what.amount, currency, at
                    )
                elif what:
                    customer, amount, currency = what
                    yield world.transaction(
                        number, customer, None, "WITHDRAWAL", amount, currency, at
                    )
                else:
                    customer, amount, currency = world.deposit_terms(number, at)
                    yield world.transaction(number, customer, None, "DEPOSIT", amount, currency, at)
                    if later := withdrawal(number, amount, at, world.seed):
                        at, amount = later
                        heapq.heappush(queue, (at, 0, (customer, amount, currency), None))

    progress("lana.transactions", copy(connection, "lana.transactions", transactions()))
    rows = (world.facility(number, *known) for number, known in opened.items())
    progress("lana.facilities", copy(connection, "lana.facilities", rows))

"""What an order starts from: who places it, its terms and discounts, and what will happen to it.

All of it follows from the order's number, the moment it was placed and the seed.
"""

from functools import lru_cache
from random import Random
from typing import Any, NamedTuple

from headwater_sandbox.generator import (
    DAY,
    DAYS,
    FIXED,
    NOTES,
    SECOND,
    VND_PER_USD,
    day_start,
    person,
    pick,
    promotion_of,
    rng,
)
from headwater_sandbox.shopify.documents import OWN, address, fate, money

CARD, WALLETS, MANUAL = "vnpay", ("momo", "zalopay"), ("Cash on Delivery (COD)", "bank_transfer")
LIFE = 40  # days after which nothing happens to an order


def buyer_of(number: int, customer: dict[str, Any] | None, seed: int) -> dict[str, Any]:
    """Who placed an order, as fields of Order: a customer, or a guest without an account."""
    r = rng(seed, "shop buyer", number)
    if customer is None:
        who = person(3 * OWN + number, seed)
        home = address(OWN + number, who, r)
        contact = {"email": who.email, "phone": who.phone}
    else:
        home = customer.get("defaultAddress")
        contact = {"email": customer["email"], "phone": customer["phone"]}
    return contact | {
        "customer": customer and {"id": customer["id"]},
        "customerLocale": "vi",
        "customerAcceptsMarketing": r.random() < 0.4,
        "shippingAddress": home,
        "billingAddress": home,
        "billingAddressMatchesShippingAddress": home is not None,
        "clientIp": f"203.0.113.{int(r.random() * 256)}",
        "note": pick(r, NOTES) if r.random() < 0.15 else None,
        "tags": ["quà tặng", 'ghi chú "gấp"'] if r.random() < 0.1 else [],
    }


class Terms(NamedTuple):
    """What an order's number says about it, whatever is in it."""

    currency: str
    test: bool
    taxes_included: bool
    taxes: tuple[tuple[str, int], ...]  # title and rate in thousandths
    gateways: tuple[str, ...]  # none: there is nothing to pay
    events: tuple[tuple[int, str], ...]

    @property
    def unit(self) -> int:
        """The least amount there is: a dong, a cent; test orders have hundredths of a dong."""
        return 100 if self.currency == "VND" and not self.test else 1


def terms(number: int, at: int, seed: int) -> Terms:
    r = rng(seed, "shop terms", number)
    test = number % 150 == 20
    way = fate(number, "shop gateway", 0.4142135624, seed)
    if test:
        gateways: tuple[str, ...] = ("bogus",)
    elif number % 400 == 99:
        gateways = ()
    elif way < 0.3:
        gateways = (CARD,)
    elif way < 0.6:
        gateways = (WALLETS[way > 0.5],)
    elif way < 0.95:
        gateways = (MANUAL[way > 0.87],)
    else:
        gateways = ("gift_card", MANUAL[0])
    rate = 100 if number % 4 == 0 else 80
    taxes = [(f"VAT {rate // 10}%", rate)]
    if r.random() < 0.05:
        taxes.append(("Phí môi trường", 15))
    return Terms(
        "USD" if number % 60 == 7 else "VND",
        test,
        fate(number, "shop taxes", 0.2360679775, seed) < 0.6,
        () if r.random() < 0.03 else tuple(taxes),
        gateways,
        tuple(_life(number, at, gateways, r, seed)),
    )


def _life(
    number: int, at: int, gateways: tuple[str, ...], r: Random, seed: int
) -> list[tuple[int, str]]:
    """All that happens to an order in less than LIFE days: (moment, what), in order."""
    steps = [(at, "place")]

    def then(what: str, least: float, most: float) -> None:
        wait = 60 * SECOND + int((least + r.random() * (most - least)) * DAY)
        steps.append((steps[-1][0] + wait, what))

    course = fate(number, "shop course", 0.7320508076, seed)
    end = fate(number, "shop end", 0.6457513111, seed)
    last = gateways[-1] if gateways else None
    if last in MANUAL:  # paid later; until then an edit does not call for money back
        if course < 0.09 and gateways == (last,):
            then("remove", 0, 0.4)
        elif course < 0.16 and gateways == (last,):
            then("add", 0, 0.4)
        if 0.3 < course < 0.4:
            then("cancel", 0, 2)
            return steps
        if 0.4 < course < 0.42:
            return steps
    elif last == CARD:
        if course < 0.05:
            then("cancel", 0, 2)
            return steps
        if course < 0.08:
            then("expire", 7, 7)
            return steps
        then("pay", 0, 2)
    elif 0.5 < course < 0.53:
        then("cancel", 0, 2)
        return steps
    if last == MANUAL[1]:
        then("pay", 0, 3)
    if r.random() < 0.1:
        then("fulfil some", 0.2, 2)
        if r.random() < 0.1:
            return steps
    then("fulfil", 0.2, 3)
    if last == MANUAL[0]:
        then("pay", 0, 4)
    if end < 0.07:
        then("refund some", 0.1, 10)
        if end < 0.02:
            then("refund some", 0.1, 10)
    elif end < 0.11:
        then("refund all", 0.1, 18)
    elif end < 0.13:
        then("goodwill", 0.1, 18)
    return steps


@lru_cache(maxsize=2_000)
def _promotions(day: int, seed: int) -> tuple[list[int], list[int]]:
    """Rainbow's promotions that are on all of a day of history: percentages, and fixed amounts."""
    running: dict[str, list[int]] = {"Percentage": [], "Fixed Amount": []}
    for number in range(1, FIXED["promotions"] + 1):
        _, coupon_type, _, starts, expires = promotion_of(number, seed)
        if starts <= day_start(day) and (expires is None or expires >= day_start(day + 1)):
            running[coupon_type].append(number)
    return running["Percentage"], running["Fixed Amount"]


class Discount(NamedTuple):
    type: str  # Automatic, DiscountCode, Manual
    name: str  # the title or the code
    target: str  # line, order, shipping
    percent: int = 0  # in hundredths of a percent
    amount: int = 0  # off each unit of the line, or off the order

    def application(self, index: int, currency: str) -> dict[str, Any]:
        value = (
            {"__typename": "PricingPercentageValue", "percentage": self.percent / 100}
            if self.percent
            else {"__typename": "MoneyV2", **money(self.amount, currency)}
        )
        on_line = self.target == "line"
        manual = {"description": "Giảm tại quầy"} if self.type == "Manual" else {}
        return {
            "__typename": f"{self.type}Application"
            if self.type == "DiscountCode"
            else f"{self.type}DiscountApplication",
            "index": index,
            "allocationMethod": "EACH" if on_line else "ACROSS",
            "targetSelection": ("EXPLICIT" if manual else "ENTITLED") if on_line else "ALL",
            "targetType": "SHIPPING_LINE" if self.target == "shipping" else "LINE_ITEM",
            "value": value,
            "code" if self.type == "DiscountCode" else "title": self.name,
            **manual,
        }


def discounts_of(number: int, at: int, what: Terms, seed: int) -> list[Discount]:
    r = rng(seed, "shop discount", number)
    if not what.gateways:
        return [Discount("Manual", "Quà tặng", "order", percent=10_000)]
    draw = fate(number, "shop discount", 0.3166247904, seed)
    day = (at - day_start(0)) // DAY
    percentages, fixed = _promotions(min(day, DAYS - 1), seed)
    name, percent = "Chào bạn mới", 1_000
    if percentages and r.random() < 0.7:
        name, _, treatment, *_ = promotion_of(pick(r, percentages), seed)
        percent = int(treatment * 100)
    title, off = "Bớt 50K", 5_000_000
    if fixed and r.random() < 0.7:
        title, _, treatment, *_ = promotion_of(pick(r, fixed), seed)
        off = int(treatment * 100_000)
    if what.currency == "USD":
        off //= VND_PER_USD
    code = pick(r, (f"GIAM-{percent}", f"giam {percent}", "TẾT🧧"))
    fixed_code = f"BOT{off // 100}"
    by_percent = Discount("Automatic", name, "line", percent=percent)
    if draw < 0.58:
        return []
    if draw < 0.69:
        return [Discount("DiscountCode", code, "order", percent=percent)]
    if draw < 0.76:
        return [Discount("DiscountCode", fixed_code, "order", amount=off)]
    if draw < 0.83:
        return [by_percent]
    if draw < 0.88:
        return [Discount("Automatic", title, "line", amount=off)]
    if draw < 0.91:
        return [Discount("Automatic", title, "order", amount=off)]
    if draw < 0.95:
        return [by_percent, Discount("DiscountCode", fixed_code, "order", amount=off)]
    if draw < 0.98:
        return [Discount("DiscountCode", "FREESHIP", "shipping", percent=10_000)]
    return [Discount("Manual", 'Khách "quen"', "line", percent=700)]

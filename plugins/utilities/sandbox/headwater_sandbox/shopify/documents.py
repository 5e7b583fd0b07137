"""The shop's products and customers as Shopify's Admin API shows them, drawn from the seed.

A document is a GraphQL object of schema 2025-07: its keys are the schema's fields, a connection is
a plain list, a reference is {"id": …}; a union or interface says its `__typename`. What is left out
is null, zero, false or empty. The number in an id is the entity's own plus the base in IDS.

Some are known elsewhere too. A product with the sku `RB-<product_id>` (of its second variant:
`RB-<product_id>-2`) is Rainbow's product of that id. Of ten customers three are known to Rainbow
and Lana, three to Rainbow and one to Lana, often by e-mails written differently.
"""

from datetime import timedelta
from functools import cache, lru_cache
from random import Random
from typing import Any, NamedTuple

from headwater_sandbox.generator import (
    CATEGORIES,
    DAY,
    DAYS,
    EPOCH,
    GIVENS,
    NOTES,
    SECOND,
    STREETS,
    TAGS,
    VND_PER_USD,
    Person,
    category_of,
    day_start,
    lana_person,
    low,
    person,
    pick,
    pricing,
    product,
    rng,
    spelled,
)

IDS = {
    "Order": 5_800_000_000_000,
    "Customer": 7_600_000_000_000,
    "Product": 8_100_000_000_000,
    "ProductVariant": 44_000_000_000_000,
    "LineItem": 14_000_000_000_000,
    "OrderTransaction": 6_900_000_000_000,
    "Refund": 950_000_000_000,
    "RefundLineItem": 600_000_000_000,
    "OrderAdjustment": 300_000_000_000,
    "ShippingLine": 4_900_000_000_000,
    "Fulfillment": 5_300_000_000_000,
    "MailingAddress": 9_200_000_000_000,
    "ProductOption": 10_200_000_000_000,
    "InventoryItem": 46_000_000_000_000,
}
OWN = 10_000_000  # what only the shop knows has numbers from here
OPTIONS = ("S", "M", "Cỡ lớn")


def gid(kind: str, number: int) -> str:
    return f"gid://shopify/{kind}/{IDS[kind] + number}"


def reference(kind: str, number: int | None) -> dict | None:
    return None if number is None else {"id": gid(kind, number)}


def number_of(id_: str) -> int:
    """The entity's own number in an id."""
    kind, number = id_.split("/")[-2:]
    return int(number) - IDS[kind]


def time(at: int) -> str:
    """A DateTime of Shopify's: of whole seconds."""
    return (EPOCH + timedelta(seconds=at // SECOND)).isoformat()[:19] + "Z"


def decimal(hundredths: int) -> str:
    """A Decimal of Shopify's: 125000.0, 12.5, 12.34."""
    whole, rest = divmod(abs(hundredths), 100)
    fraction = f"{rest:02d}" if rest % 10 else rest // 10
    return f"{'-' if hundredths < 0 else ''}{whole}.{fraction}"


def amount_of(text: str) -> int:
    """The hundredths of a Decimal."""
    whole, fraction = text.split(".")
    return int(whole + fraction.ljust(2, "0"))


def money(hundredths: int, currency: str = "VND") -> dict[str, str]:
    return {"amount": decimal(hundredths), "currencyCode": currency}


def bag(hundredths: int, currency: str) -> dict[str, dict[str, str]]:
    """A MoneyBag: the amount the customer sees, and what it is in the shop's VND."""
    paid = money(hundredths, currency)
    shop = paid if currency == "VND" else money(hundredths * VND_PER_USD)
    return {"shopMoney": shop, "presentmentMoney": paid}


def fate(number: int, kind: str, step: float, seed: int) -> float:
    """A fraction for each number, so that even a few in a row are spread over all of [0, 1)."""
    return (number * step + _offset(kind, seed)) % 1


@cache
def _offset(kind: str, seed: int) -> float:
    return rng(seed, kind, 0).random()


# Products


def rainbow_product(number: int) -> int | None:
    """The number of the shop's product in Rainbow's catalogue, if it is in it."""
    return number * 3 if number % 5 < 3 else None


def variants_of(number: int, seed: int) -> int:
    return 1 + int(fate(number, "shop variants", 0.6180339887, seed) * 3.3) % 3


def variant_number(product_number: int, position: int) -> int:
    return product_number * 10 + position


def sku_of(number: int, position: int) -> str:
    rainbow = rainbow_product(number)
    sku = f"SP-{number:05d}" if rainbow is None else f"RB-{rainbow}"
    return sku if position == 1 else f"{sku}-{position}"


def price_at(number: int, position: int, at: int, seed: int) -> int:
    """What a variant costs at a moment of history, in hundredths of VND, whole dong."""
    price, original, changed_at, _ = pricing(rainbow_product(number) or OWN + number, seed)
    return (price if at >= changed_at else original) * (9 + position) // 1000 * 100


@lru_cache(maxsize=20_000)
def deleted_at(number: int, created_at: int, seed: int) -> int | None:
    """When a product was deleted, in history; most never were."""
    if number % 17 != 16:
        return None
    return max(created_at, day_start(300)) + int(rng(seed, "deleted", number).random() * 400 * DAY)


@lru_cache(maxsize=20_000)
def title_of(number: int, seed: int) -> tuple[str, str]:
    """The title and the vendor of a product."""
    r = rng(seed, "shop vendor", number)
    vendor = pick(
        r, (f"{pick(r, GIVENS)}co", f"{pick(r, GIVENS)} & Sons", "Rainbow", "Xưởng “Mộc”")
    )
    return product(rainbow_product(number) or OWN + number, seed).name, vendor


def product_documents(number: int, at: int, seed: int) -> tuple[dict, list[dict]]:
    """A product and its variants, as they are at the end of history, or, later, when new."""
    r = rng(seed, "shop product", number)
    title, vendor = title_of(number, seed)
    what = rainbow_product(number) or OWN + number
    *_, original_price, changed_at, _ = pricing(what, seed)
    horizon = max(at, day_start(DAYS) - 1)
    updated = changed_at if at < changed_at <= horizon else at
    positions = range(1, variants_of(number, seed) + 1)
    single = len(positions) == 1
    description = pick(r, ("", "Hàng chính hãng.", *NOTES[:5]))
    status = pick(r, ("ACTIVE",) * 12 + ("DRAFT", "ARCHIVED"))
    variants = []
    for position in positions:
        price = price_at(number, position, horizon, seed)
        before = original_price * (9 + position) // 1000 * 100
        name = "Default Title" if single else OPTIONS[position - 1]
        stock = int(low(r, 3) * 200) - 2
        variants.append(
            {
                "id": gid("ProductVariant", variant_number(number, position)),
                "product": reference("Product", number),
                "title": name,
                "displayName": f"{title} - {name}",
                "sku": sku_of(number, position) if r.random() > 0.03 or position == 1 else None,
                "barcode": f"893{int(r.random() * 1e10):010d}" if r.random() < 0.7 else None,
                "position": position,
                "price": decimal(price),
                "compareAtPrice": decimal(before) if before > price else None,
                "inventoryPolicy": "CONTINUE" if r.random() < 0.1 else "DENY",
                "inventoryQuantity": stock,
                "sellableOnlineQuantity": max(0, stock),
                "availableForSale": stock > 0,
                "taxable": True,
                "inventoryItem": {
                    "id": gid("InventoryItem", variant_number(number, position)),
                    "measurement": {
                        "weight": {"unit": "KILOGRAMS", "value": int(low(r, 3) * 40_000) / 1000}
                    },
                },
                "createdAt": time(at),
                "updatedAt": time(updated),
            }
        )
    document = {
        "id": gid("Product", number),
        "title": title,
        "description": description,
        "descriptionHtml": f"<p>{description}</p>" if description else "",
        "vendor": vendor,
        "productType": CATEGORIES[category_of(what, seed) - 1][0] if r.random() < 0.9 else "",
        "status": status,
        "tags": sorted({tag for tag in (pick(r, TAGS) for _ in range(int(r.random() * 4))) if tag}),
        "handle": f"san-pham-{number}",
        "options": [
            {
                "id": gid("ProductOption", number),
                "name": "Title" if single else "Cỡ",
                "position": 1,
                "values": [v["title"] for v in variants],
            }
        ],
        "hasOnlyDefaultVariant": single,
        "hasOutOfStockVariants": any(not v["availableForSale"] for v in variants),
        "isGiftCard": number % 97 == 13,
        "totalInventory": sum(v["inventoryQuantity"] for v in variants),
        "tracksInventory": True,
        "compareAtPriceRange": compared_prices(variants),
        "variants": [{"id": v["id"]} for v in variants],
        "publishedAt": time(at) if status == "ACTIVE" else None,
        "createdAt": time(at),
        "updatedAt": time(updated),
    }
    return document, variants


def compared_prices(variants: list[dict]) -> dict[str, Any] | None:
    prices = [amount_of(v["compareAtPrice"]) for v in variants if v["compareAtPrice"]]
    if not prices:
        return None
    return {
        "maxVariantCompareAtPrice": money(max(prices)),
        "minVariantCompareAtPrice": money(min(prices)),
    }


# Customers


def shopper(number: int, seed: int) -> Person:
    """Whom the shop knows by that number."""
    place = number % 10
    if place in (0, 2, 5):  # Rainbow and Lana know them too
        return person(number * 10 + 1, seed)
    if place in (1, 3, 6):
        return person(number * 10, seed)
    if place == 4:
        return lana_person(number // 10 * 5 + 3, seed)
    return person(2 * OWN + number, seed)


@lru_cache(maxsize=20_000)
def identity(number: int, seed: int) -> dict[str, Any]:
    """The names, e-mail, phone and addresses of a customer, as fields of Customer."""
    who, r = shopper(number, seed), rng(seed, "shop identity", number)
    last, _, first = who.name.partition(" ")
    addresses = [address(number * 10 + nth, who, r) for nth in range(int(r.random() * 3.5))]
    return {
        "firstName": first or None,
        "lastName": last,
        "displayName": who.name,
        "email": None if number % 37 == 17 else spelled(who.email, r, 0.4),
        "phone": who.phone,
        "addresses": addresses,
        "defaultAddress": addresses[0] if addresses else None,
    }


def address(number: int, who: Person, r: Random) -> dict[str, Any]:
    last, _, first = who.name.partition(" ")
    return {
        "id": gid("MailingAddress", number),
        "firstName": first or None,
        "lastName": last,
        "name": who.name,
        "address1": f"{1 + int(r.random() * 300)} {pick(r, STREETS)}",
        "address2": pick(r, (None, None, "Tầng 3", 'Căn "A", lầu 2')),
        "city": who.city,
        "zip": f"{int(r.random() * 1e6):06d}",
        "country": "Vietnam",
        "countryCodeV2": "VN",
        "formattedArea": f"{who.city}, Vietnam",
        "phone": who.phone,
        "coordinatesValidated": True,
        "latitude": 8 + r.random() * 15,
        "longitude": 102 + r.random() * 7,
        "timeZone": "Asia/Ho_Chi_Minh",
    }


class Custom(NamedTuple):
    """What a customer has ordered: how often, for how much (hundredths of VND), when last."""

    orders: int = 0
    spent: int = 0
    last_order: int | None = None
    at: int = 0


def customer_document(number: int, at: int, seed: int, custom: Custom = Custom()) -> dict:  # noqa: B008
    r = rng(seed, "shop customer", number)
    later = int(r.random() * (day_start(DAYS) - at)) if r.random() < 0.33 else 0
    state = pick(r, ("ENABLED",) * 3 + ("DISABLED",) * 5 + ("INVITED", "DECLINED"))
    wants = r.random() < 0.4
    return (
        {"id": gid("Customer", number)}
        | identity(number, seed)
        | {
            "state": state,
            "locale": "vi",
            "note": pick(r, NOTES) if r.random() < 0.1 else None,
            "tags": ["VIP", 'khách "quen"'] if r.random() < 0.1 else [],
            "taxExempt": r.random() < 0.02,
            "verifiedEmail": r.random() < 0.8,
            "validEmailAddress": True,
            "productSubscriberStatus": "NEVER_SUBSCRIBED",
            "lifetimeDuration": "over 1 year",
            "emailMarketingConsent": {
                "marketingState": "SUBSCRIBED" if wants else "NOT_SUBSCRIBED",
                "marketingOptInLevel": "SINGLE_OPT_IN",
                "consentUpdatedAt": time(at) if wants else None,
            },
            "createdAt": time(at),
            "updatedAt": time(max(at, at + later, custom.at)),
            **custom_fields(custom),
        }
    )


def custom_fields(custom: Custom) -> dict[str, Any]:
    return {
        "numberOfOrders": str(custom.orders),
        "amountSpent": money(custom.spent),
        "lastOrder": reference("Order", custom.last_order),
    }

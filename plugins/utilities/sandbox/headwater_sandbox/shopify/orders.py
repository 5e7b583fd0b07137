"""The shop's orders: what is in them, what happens to them, and how Shopify's Admin API shows it.

An order follows from its number, the moment it was placed, who placed it and what is in the basket.
Its life is played up to a moment, and is the same when it is played again to a later one. Amounts
are in hundredths of the currency the customer pays in; Shopify shows each in the shop's too.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from headwater_sandbox.generator import DAY, SECOND, VND_PER_USD, pick, rng
from headwater_sandbox.shopify.documents import (
    amount_of,
    bag,
    decimal,
    gid,
    money,
    number_of,
    reference,
    time,
)
from headwater_sandbox.shopify.terms import CARD, MANUAL, Terms, discounts_of, terms

REASONS = ("CUSTOMER", "INVENTORY", "FRAUD", "DECLINED", "STAFF", "OTHER")
ADDED = 99  # the place of a line that an edit added


class Item(NamedTuple):
    """What is put in the basket, with the price of one in the currency the customer pays in."""

    product: int | None
    variant: int | None
    title: str
    variant_title: str | None
    sku: str | None
    vendor: str | None
    price: int
    quantity: int


def _share(amount: int, part: int, whole: int, unit: int) -> int:
    """A part of an amount, down to whole units; all of it for the whole."""
    return amount if part == whole else amount * part // whole // unit * unit


def _spread(amount: int, over: Sequence[int], unit: int) -> list[int]:
    """The amount in shares, in proportion; they add up to it."""
    shares, reached, given = [], 0, 0
    for weight in over:
        reached += weight
        until = _share(amount, reached, sum(over), unit)
        shares.append(until - given)
        given = until
    return shares


def _nearest(amount: int, part: int, whole: int, unit: int) -> int:
    """A part of an amount, to the nearest unit."""
    return (2 * amount * part + whole * unit) // (2 * whole * unit) * unit


class _Line:
    """A line of an order, with what became of its units."""

    def __init__(
        self, id_: int, item: Item, off: list[tuple[int, int]], explicit: int, what: Terms
    ):
        self.id, self.item, self.off = id_, item, off
        self.unit = what.unit
        self.gross = item.price * item.quantity
        self.explicit = explicit  # discounted on the line itself, and not by a code
        self.net = self.gross - sum(amount for _, amount in off)
        rates = sum(rate for _, rate in what.taxes)
        whole = 1000 + rates if what.taxes_included else 1000
        self.taxes = [_nearest(self.net, rate, whole, self.unit) for _, rate in what.taxes]
        self.gone = 0  # removed by an edit, or refunded
        self.fulfilled = 0

    @property
    def left(self) -> int:
        return self.item.quantity - self.gone

    def of_left(self, amount: int) -> int:
        """The part of an amount of the line that falls on the units that are left."""
        return amount - _share(amount, self.gone, self.item.quantity, self.unit)

    def take(self, units: int) -> tuple[int, int]:
        """Take units off; their price, discounts considered, and their tax."""
        before = self.of_left(self.net), self.of_left(sum(self.taxes))
        self.gone += units
        return before[0] - self.of_left(self.net), before[1] - self.of_left(sum(self.taxes))


class _Order:
    """An order on its way through its life; `document` is what it looks like."""

    def __init__(self, number: int, at: int, seed: int, buyer: dict[str, Any], basket: list[Item]):
        self.number, self.at, self.updated_at = number, at, at
        self.seed, self.buyer, self.basket = seed, buyer, basket
        self.what = terms(number, at, seed)
        self.r = rng(seed, "shop events", number)
        self.transactions: list[dict[str, Any]] = []
        self.refunds: list[dict[str, Any]] = []
        self.returned: list[tuple[dict[str, Any], _Line]] = []  # refund lines, and of what
        self.fulfillments: list[dict[str, Any]] = []
        self.received = self.refunded = self.authorized = self.discrepancy = 0
        self.shipping_refunded = 0
        self.cancelled_at = self.closed_at = self.cancel_reason = None
        self.voided = self.expired = self.edited = False
        self._price()
        self.original_total = self.total

    def bag(self, amount: int) -> dict[str, dict[str, str]]:
        return bag(amount, self.what.currency)

    def _price(self) -> None:
        what, unit = self.what, self.what.unit
        discounts = discounts_of(self.number, self.at, what, self.seed)
        rates = (0, 2_000_000, 3_500_000, 3_500_000, 6_000_000) if what.gateways else (0,)
        ship = pick(self.r, rates)
        if what.currency == "USD":
            ship //= VND_PER_USD
        self.shipping, self.shipping_off = ship, 0
        rest = [item.price * item.quantity for item in self.basket]
        off: list[list[tuple[int, int]]] = [[] for _ in rest]
        explicit = [0] * len(rest)
        self.applications = []
        for index, discount in enumerate(discounts):
            if discount.target == "shipping":
                self.shipping_off = ship
                shares = []
            elif discount.target == "line":
                amount = discount.amount * self.basket[0].quantity
                if discount.percent:
                    amount = _share(rest[0], discount.percent, 10_000, unit)
                # Never all of it, so that something is left to pay.
                shares = [min(amount, _share(rest[0], 7, 10, unit))]
                explicit[0] += shares[0]
            else:
                amount = min(discount.amount, _share(sum(rest), 1, 2, unit))
                if discount.percent:
                    amount = _share(sum(rest), discount.percent, 10_000, unit)
                shares = _spread(amount, rest, unit)
            for nth, share in enumerate(shares):
                if share:
                    off[nth].append((index, share))
                    rest[nth] -= share
            self.applications.append(discount.application(index, what.currency))
        self.lines = [
            _Line(self.number * 100 + nth, item, off[nth], explicit[nth], what)
            for nth, item in enumerate(self.basket)
        ]
        self.ship_net = self.shipping - self.shipping_off

    # What it comes to

    @property
    def subtotal(self) -> int:
        return sum(line.net for line in self.lines)

    @property
    def total(self) -> int:
        tax = 0 if self.what.taxes_included else sum(sum(line.taxes) for line in self.lines)
        return self.subtotal + self.ship_net + tax

    @property
    def current_tax(self) -> int:
        return sum(line.of_left(sum(line.taxes)) for line in self.lines)

    @property
    def current_total(self) -> int:
        tax = 0 if self.what.taxes_included else self.current_tax
        rest = sum(line.of_left(line.net) for line in self.lines)
        return rest + self.ship_net - self.shipping_refunded + tax

    # What happens

    def place(self, at: int) -> None:
        gateways = self.what.gateways
        if not gateways:
            return
        if gateways == (CARD,):
            if self.number % 20 == 3:
                self._transact(at, "AUTHORIZATION", "FAILURE", CARD, self.total)
            self._transact(at, "AUTHORIZATION", "SUCCESS", CARD, self.total)
            self.authorized = self.total
        elif gateways[0] == "gift_card":
            part = _share(self.total, 1, 3, self.what.unit)
            self._receive(at, "gift_card", part)
            self._transact(at, "SALE", "PENDING", gateways[1], self.total - part)
        elif gateways[0] in MANUAL:
            self._transact(at, "SALE", "PENDING", gateways[0], self.total)
        else:
            self._receive(at, gateways[0], self.total)

    def pay(self, at: int) -> None:
        gateway = self.what.gateways[-1]
        parent = self.transactions[-1]
        due = self.current_total - self.received
        kind = "CAPTURE" if gateway == CARD else "SALE"
        self._receive(at, gateway, due, kind, parent)
        self.authorized = 0

    def _receive(
        self, at: int, gateway: str, amount: int, kind: str = "SALE", parent: dict | None = None
    ) -> None:
        self._transact(at, kind, "SUCCESS", gateway, amount, parent)
        self.received += amount

    def remove(self, at: int) -> None:
        """An edit takes one unit off the last line, unless it is all there is."""
        if sum(line.left for line in self.lines) > 1:
            self.lines[-1].gone += 1
            self.edited = True

    def add(self, at: int) -> None:
        """An edit adds one more of the first, at its full price, as a line of its own."""
        item = self.basket[0]._replace(quantity=1)
        self.lines.append(_Line(self.number * 100 + ADDED, item, [], 0, self.what))
        self.edited = True

    def fulfil_some(self, at: int) -> None:
        self._fulfil(at, self.lines[:1])

    def fulfil(self, at: int) -> None:
        self._fulfil(at, self.lines)

    def _fulfil(self, at: int, lines: list[_Line]) -> None:
        units = sum(line.left - line.fulfilled for line in lines)
        if not units:
            return
        for line in lines:
            line.fulfilled = line.left
        nth = len(self.fulfillments) + 1
        self.fulfillments.append(
            {
                "id": gid("Fulfillment", self.number * 10 + nth),
                "name": f"#{1000 + self.number}.{nth}",
                "status": "SUCCESS",
                "totalQuantity": units,
                "requiresShipping": True,
                "trackingInfo": [{"company": "GHN", "number": f"GHN{self.number}{nth}"}],
                "createdAt": time(at),
                "updatedAt": time(at),
            }
        )

    def refund_some(self, at: int) -> None:
        """Some units of a line; of some the shop keeps a fee."""
        lines = [line for line in self.lines if line.left]
        if not lines:
            return
        line = pick(self.r, lines)
        units = 1 + int(self.r.random() * line.left)
        kept = self.r.random() < 0.25
        restock = pick(self.r, ("RETURN", "RETURN", "NO_RESTOCK"))
        self._refund(at, [(line, units)], restock, 10 if kept else 0, 0)

    def refund_all(self, at: int) -> None:
        restock = pick(self.r, ("RETURN", "NO_RESTOCK"))
        self._refund(at, [(line, line.left) for line in self.lines], restock, 0, self.ship_net)

    def goodwill(self, at: int) -> None:
        """Money back, and nothing returned."""
        self._refund(at, [], "", 0, 0, given=_share(self.received, 1, 20, self.what.unit))

    def cancel(self, at: int) -> None:
        self.cancelled_at, self.cancel_reason = at, pick(self.r, REASONS)
        everything = [(line, line.left) for line in self.lines]
        if self.authorized:
            self._transact(at, "VOID", "SUCCESS", CARD, self.authorized, self.transactions[-1])
            self.authorized = 0
        self.voided = not self.received
        self._refund(at, everything, "CANCEL", 0, self.ship_net)

    def expire(self, at: int) -> None:
        self.authorized, self.expired = 0, True

    def close(self, at: int) -> None:
        """It closes when nothing is left to do; what is refunded later does not open it again."""
        done = self.fulfillment_status == "FULFILLED" and not self.due
        if self.closed_at is None and (done or self.cancelled_at):
            self.closed_at = at

    def _refund(
        self, at: int, taken: list[tuple[_Line, int]], restock: str, fee: int, shipping: int,
        given: int = 0,
    ) -> None:  # fmt: skip
        """Refund units, shipping, and money given for nothing; `fee` percent are kept.

        What is paid back is the lines and the shipping less the adjustments.
        """
        nth = len(self.refunds) + 1
        id_ = self.number * 10 + nth
        rows, worth = [], shipping
        for line, units in taken:
            if not units:
                continue
            net, tax = line.take(units)
            worth += net if self.what.taxes_included else net + tax
            unit_price = _share(line.net, 1, line.item.quantity, 1)
            row = {
                "id": gid("RefundLineItem", id_ * 100 + len(rows) + 1),
                "quantity": units,
                "restockType": restock,
                "restocked": restock != "NO_RESTOCK",
                "location": {"id": "gid://shopify/Location/73000000001"}
                if restock != "NO_RESTOCK"
                else None,
                "priceSet": self.bag(unit_price),
                "subtotalSet": self.bag(net),
                "totalTaxSet": self.bag(tax),
            }
            rows.append(row)
            self.returned.append((row, line))
        reason, adjustment = "REFUND_DISCREPANCY", _share(worth, fee, 100, self.what.unit) - given
        back = min(worth - adjustment, self.received - self.refunded)
        if back != worth - adjustment:  # it was never paid
            reason, adjustment = "PENDING_REFUND_DISCREPANCY", worth - back
        else:
            self.discrepancy += adjustment
        paid = self._pay_back(at, back)
        self.shipping_refunded += shipping
        self.refunds.append(
            {
                "id": gid("Refund", id_),
                "note": pick(self.r, (None, None, 'Khách đổi ý, "không vừa"', "Hàng lỗi\nđã kiểm")),
                "order": reference("Order", self.number),
                "orderAdjustments": [
                    {
                        "id": gid("OrderAdjustment", id_),
                        "reason": reason,
                        "amountSet": self.bag(adjustment),
                        "taxAmountSet": self.bag(0),
                    }
                ]
                if adjustment
                else [],
                "refundLineItems": rows,
                "refundShippingLines": [
                    {
                        "id": gid("ShippingLine", id_),
                        "subtotalAmountSet": self.bag(shipping),
                        "taxAmountSet": self.bag(0),
                    }
                ]
                if shipping
                else [],
                "transactions": paid,
                "totalRefundedSet": self.bag(back),
                "createdAt": time(at),
                "updatedAt": time(at),
            }
        )

    def _pay_back(self, at: int, amount: int) -> list[dict[str, Any]]:
        """Refund transactions, to the newest payments first; some fail at first."""
        paid = []
        fails = self.r.random() < 0.06
        for parent in reversed(list(self.transactions)):
            if parent["kind"] not in ("SALE", "CAPTURE") or parent["status"] != "SUCCESS":
                continue
            done = sum(
                amount_of(t["amountSet"]["presentmentMoney"]["amount"])
                for t in self.transactions
                if t["kind"] == "REFUND"
                and t["status"] == "SUCCESS"
                and t["parentTransaction"]["id"] == parent["id"]
            )
            room = amount_of(parent["amountSet"]["presentmentMoney"]["amount"]) - done
            if part := min(room, amount - sum(part for _, part in paid)):
                if fails:
                    self._transact(
                        at - SECOND, "REFUND", "FAILURE", parent["gateway"], part, parent
                    )
                again = self._transact(at, "REFUND", "SUCCESS", parent["gateway"], part, parent)
                paid.append((again, part))
                self.refunded += part
        return [transaction for transaction, _ in paid]

    def _transact(
        self, at: int, kind: str, status: str, gateway: str, amount: int,
        parent: dict[str, Any] | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        nth = len(self.transactions) + 1
        by_card = gateway == CARD
        transaction = {
            "id": gid("OrderTransaction", self.number * 100 + nth),
            "kind": kind,
            "status": status,
            "gateway": gateway,
            "formattedGateway": gateway.replace("_", " ").title(),
            "manualPaymentGateway": gateway in MANUAL,
            "amountSet": self.bag(amount),
            "order": reference("Order", self.number),
            "parentTransaction": parent
            and {
                key: parent.get(key)
                for key in (
                    *("id", "status", "kind", "paymentId", "accountNumber"),
                    *("amountSet", "createdAt", "processedAt"),
                )
            },
            "paymentId": f"r{self.number}.{nth}" if gateway not in MANUAL else None,
            "test": self.what.test,
            "createdAt": time(at),
            "processedAt": time(at),
        }
        if status == "FAILURE":
            transaction["errorCode"] = "CARD_DECLINED" if by_card else "GENERIC_ERROR"
        if by_card:
            last = 1000 + self.number * 37 % 9000
            transaction |= {
                "accountNumber": f"•••• •••• •••• {last}",
                "authorizationCode": f"A{self.number:08d}" if status == "SUCCESS" else None,
                "receiptJson": f'{{"paid_amount":"{decimal(amount)}"}}',
                "paymentDetails": {
                    "__typename": "CardPaymentDetails",
                    "number": f"•••• •••• •••• {last}",
                    "company": pick(self.r, ("Visa", "Mastercard", "NAPAS")),
                    "expirationMonth": 1 + self.number % 12,
                    "expirationYear": 2030,
                    "paymentMethodName": "card",
                },
            }
            if self.what.currency == "USD":
                transaction["settlementCurrency"] = "VND"
                transaction["settlementCurrencyRate"] = f"{VND_PER_USD}.000000001"
            if kind == "AUTHORIZATION" and status == "SUCCESS":
                transaction["authorizationExpiresAt"] = time(at + 7 * DAY)
                transaction["totalUnsettledSet"] = self.bag(amount)
            if kind == "CAPTURE":
                fee = money(_nearest(amount, 29, 1000, self.what.unit), self.what.currency)
                zero = money(0, self.what.currency)
                transaction["fees"] = [
                    {
                        "id": f"gid://shopify/TransactionFee/{self.number}",
                        "type": "processing_fee",
                        "rate": "0.029",
                        "rateName": "domestic",
                        "amount": fee,
                        "flatFee": zero,
                        "taxAmount": zero,
                    }
                ]
        self.transactions.append(transaction)
        return transaction

    # What it looks like

    @property
    def due(self) -> int:
        """What is still to be paid; what was refunded is not."""
        if self.cancelled_at or self.expired:
            return 0
        return max(0, self.current_total + self.refunded + self.discrepancy - self.received)

    @property
    def financial_status(self) -> str:
        if self.voided:
            return "VOIDED"
        if self.expired:
            return "EXPIRED"
        if self.authorized:
            return "AUTHORIZED"
        if self.refunded:
            return "REFUNDED" if self.refunded >= self.received else "PARTIALLY_REFUNDED"
        if self.due:
            return "PARTIALLY_PAID" if self.received else "PENDING"
        return "PAID"

    @property
    def fulfillment_status(self) -> str:
        if self.cancelled_at and not self.fulfillments:
            return "RESTOCKED"
        if not self.fulfillments:
            return "UNFULFILLED"
        open_ = sum(max(0, line.left - line.fulfilled) for line in self.lines)
        return "PARTIALLY_FULFILLED" if open_ else "FULFILLED"

    def _taxes(self, lines: list[_Line]) -> list[dict[str, Any]]:
        return [
            {
                "title": title,
                "rate": rate / 1000,
                "ratePercentage": rate / 10,
                "source": "Shopify",
                "priceSet": self.bag(sum(line.taxes[nth] for line in lines)),
            }
            for nth, (title, rate) in enumerate(self.what.taxes)
        ]

    def _line(self, line: _Line) -> dict[str, Any]:
        item = line.item
        discounted = line.gross - line.explicit
        open_ = max(0, line.left - line.fulfilled)
        named = item.variant_title and item.variant_title != "Default Title"
        return {
            "id": gid("LineItem", line.id),
            "title": item.title,
            "name": f"{item.title} - {item.variant_title}" if named else item.title,
            "variantTitle": item.variant_title,
            "sku": item.sku,
            "vendor": item.vendor,
            "product": reference("Product", item.product),
            "variant": reference("ProductVariant", item.variant),
            "quantity": item.quantity,
            "currentQuantity": line.left,
            "refundableQuantity": line.left,
            "unfulfilledQuantity": open_,
            "fulfillableQuantity": open_,
            "requiresShipping": True,
            "taxable": bool(self.what.taxes),
            "originalUnitPriceSet": self.bag(item.price),
            "originalTotalSet": self.bag(line.gross),
            "discountedUnitPriceSet": self.bag(_share(discounted, 1, item.quantity, 1)),
            "discountedTotalSet": self.bag(discounted),
            "totalDiscountSet": self.bag(line.explicit),
            "unfulfilledOriginalTotalSet": self.bag(item.price * open_),
            "unfulfilledDiscountedTotalSet": self.bag(
                _share(discounted, open_, item.quantity, self.what.unit)
            ),
            "discountAllocations": [
                {
                    "allocatedAmountSet": self.bag(amount),
                    "discountApplication": self.applications[index],
                }
                for index, amount in line.off
            ],
            "taxLines": self._taxes([line]),
        }

    @property
    def document(self) -> dict[str, Any]:
        what, lines = self.what, [self._line(line) for line in self.lines]
        by_id = {line.id: shown for line, shown in zip(self.lines, lines, strict=True)}
        for row, line in self.returned:
            row["lineItem"] = by_id[line.id]
        status = self.financial_status
        cart_off = [
            (line, sum(amount for _, amount in line.off) - line.explicit) for line in self.lines
        ]
        all_off = [(line, sum(amount for _, amount in line.off)) for line in self.lines]
        codes = [a["code"] for a in self.applications if "code" in a]
        shipping_taken = self.ship_net - self.shipping_refunded
        return self.buyer | {
            "id": gid("Order", self.number),
            "name": f"#{1000 + self.number}",
            "number": 1000 + self.number,
            "confirmationNumber": f"C{self.number:07d}",
            "confirmed": True,
            "test": what.test,
            "sourceName": "web",
            "currencyCode": "VND",
            "presentmentCurrencyCode": what.currency,
            "taxesIncluded": what.taxes_included,
            "taxExempt": not what.taxes,
            "displayFinancialStatus": status,
            "displayFulfillmentStatus": self.fulfillment_status,
            "returnStatus": "RETURNED"
            if any(row["restockType"] == "RETURN" for row, _ in self.returned)
            else "NO_RETURN",
            "cancelReason": self.cancel_reason,
            "cancelledAt": self.cancelled_at and time(self.cancelled_at),
            "cancellation": self.cancelled_at and {"staffNote": "Đã gọi khách"} or None,
            "closed": self.closed_at is not None,
            "closedAt": self.closed_at and time(self.closed_at),
            "edited": self.edited,
            "fullyPaid": self.received > 0 and not self.due,
            "unpaid": not self.received and self.total > 0,
            "canMarkAsPaid": bool(self.due),
            "capturable": bool(self.authorized),
            "refundable": self.received > self.refunded,
            "restockable": any(line.left for line in self.lines),
            "fulfillable": any(line["fulfillableQuantity"] for line in lines)
            and not self.cancelled_at,
            "requiresShipping": True,
            "paymentGatewayNames": list(what.gateways),
            "discountCode": codes[0] if codes else None,
            "discountCodes": codes,
            "discountApplications": self.applications,
            "subtotalLineItemsQuantity": sum(line.item.quantity for line in self.lines),
            "currentSubtotalLineItemsQuantity": sum(line.left for line in self.lines),
            "subtotalPriceSet": self.bag(self.subtotal),
            "currentSubtotalPriceSet": self.bag(sum(line.of_left(line.net) for line in self.lines)),
            "totalDiscountsSet": self.bag(sum(off for _, off in all_off) + self.shipping_off),
            "currentTotalDiscountsSet": self.bag(
                sum(line.of_left(off) for line, off in all_off) + self.shipping_off
            ),
            "cartDiscountAmountSet": self.bag(sum(off for _, off in cart_off)),
            "currentCartDiscountAmountSet": self.bag(
                sum(line.of_left(off) for line, off in cart_off)
            ),
            "totalShippingPriceSet": self.bag(self.ship_net),
            "currentShippingPriceSet": self.bag(shipping_taken),
            "totalRefundedShippingSet": self.bag(self.shipping_refunded),
            "totalTaxSet": self.bag(sum(sum(line.taxes) for line in self.lines)),
            "currentTotalTaxSet": self.bag(self.current_tax),
            "totalPriceSet": self.bag(self.total),
            "currentTotalPriceSet": self.bag(self.current_total),
            "originalTotalPriceSet": self.bag(self.original_total),
            "totalReceivedSet": self.bag(self.received),
            "totalRefundedSet": self.bag(self.refunded),
            "netPaymentSet": self.bag(self.received - self.refunded),
            "totalOutstandingSet": self.bag(self.due),
            "totalCapturableSet": self.bag(self.authorized),
            "totalTipReceivedSet": self.bag(0),
            "refundDiscrepancySet": self.bag(self.discrepancy),
            "totalCashRoundingAdjustment": {"paymentSet": self.bag(0), "refundSet": self.bag(0)},
            "taxLines": self._taxes(self.lines),
            "shippingLine": {
                "id": gid("ShippingLine", self.number),
                "title": "Giao hàng tiêu chuẩn" if self.shipping else "Miễn phí",
                "code": "standard",
                "source": "shopify",
                "originalPriceSet": self.bag(self.shipping),
                "discountedPriceSet": self.bag(self.ship_net),
                "currentDiscountedPriceSet": self.bag(shipping_taken),
                "discountAllocations": [
                    {
                        "allocatedAmountSet": self.bag(self.shipping_off),
                        "discountApplication": self.applications[-1],
                    }
                ]
                if self.shipping_off
                else [],
            },
            "lineItems": lines,
            "transactions": self.transactions,
            "transactionsCount": {"count": len(self.transactions), "precision": "EXACT"},
            "refunds": self.refunds,
            "fulfillments": self.fulfillments,
            "fulfillmentsCount": {"count": len(self.fulfillments), "precision": "EXACT"},
            "processedAt": time(self.at),
            "createdAt": time(self.at),
            "updatedAt": time(self.updated_at),
        }


def order_document(
    number: int, at: int, seed: int, buyer: dict[str, Any], basket: list[Item], until: int
) -> dict[str, Any]:
    """An order placed at a moment, as it is just before another.

    `buyer`: what buyer_of() gives; `basket`: what was ordered, in the currency of its terms().
    """
    order = _Order(number, at, seed, buyer, basket)
    for moment, event in order.what.events:
        if moment < until:
            getattr(order, event.replace(" ", "_"))(moment)
            order.close(moment)
            order.updated_at = moment
    return order.document


def basket_of(document: dict[str, Any]) -> list[Item]:
    """What was in the basket of an order; a product deleted since is no longer known."""
    return [
        Item(
            line["product"] and number_of(line["product"]["id"]),
            line["variant"] and number_of(line["variant"]["id"]),
            *(line["title"], line["variantTitle"], line["sku"], line["vendor"]),
            amount_of(line["originalUnitPriceSet"]["presentmentMoney"]["amount"]),
            line["quantity"],
        )
        for line in document["lineItems"]
        if number_of(line["id"]) % 100 != ADDED
    ]


def net_payment(document: dict[str, Any]) -> int:
    """Received less refunded, in hundredths of VND; nothing for a test."""
    if document["test"]:
        return 0
    return amount_of(document["netPaymentSet"]["shopMoney"]["amount"])

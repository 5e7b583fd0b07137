"""The shop's side: counts, ids and times by its GraphQL API, and nothing else of anyone."""

import datetime as dt
import http.client
import json
import os
import ssl
import time
import urllib.request
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import HTTPError

from headwater_reconcile.source import SourceError

API_VERSION = "2025-07"  # tap-shopify's
NEWEST_VERSION = "2026-01"  # in which all that it asks is valid
SANDBOX = "rainbow-sandbox"
PAGE = 250
LISTS_PAGE = 100
COUNTS_PER_QUERY = 25
TRIES = 6
MAX_WAIT_SECONDS = 30
TIMEOUT_SECONDS = 60
_ORDER_SCOPES = ("read_orders", "read_all_orders")


@dataclass(frozen=True)
class Kind:
    """What a stream's rows are at the shop. `list_`: the field of an order that lists them."""

    type: str
    connection: str
    scopes: tuple[str, ...]
    time: str = "updatedAt"
    list_: str | None = None


STREAMS = {
    "orders": Kind("Order", "orders", _ORDER_SCOPES),
    "customers": Kind("Customer", "customers", ("read_customers",)),
    "products": Kind("Product", "products", ("read_products",)),
    "product_variants": Kind("ProductVariant", "productVariants", ("read_products",)),
    "transactions": Kind("Order", "orders", _ORDER_SCOPES, "createdAt", "transactions"),
    "order_refunds": Kind("Order", "orders", _ORDER_SCOPES, "updatedAt", "refunds"),
}


class Window(NamedTuple):
    """Times from `start` on and before `end`, which may be open."""

    start: dt.datetime
    end: dt.datetime | None = None

    def __str__(self) -> str:
        end = f" AND updated_at:<'{iso(self.end)}'" if self.end else ""
        return f"updated_at:>='{iso(self.start)}'{end}"


class Shop:
    """One shop, asked with the tap's login; it is not asked before something is to be known."""

    def __init__(
        self, name: str, token: str | None, client_id: str | None, client_secret: str | None
    ) -> None:
        """`token`: of the Admin API; without it one is fetched by the client's id and secret."""
        self._admin = f"https://{name}.myshopify.com/admin"
        self._client = {"client_id": client_id, "client_secret": client_secret}
        self.name, self._token = name, token
        if name == SANDBOX and not client_id:
            self._token = token or SANDBOX
        self._trouble: SourceError | None = None
        self.version = API_VERSION

    @property
    def note(self) -> str | None:
        """What is to be known though nothing is wrong yet."""
        if self.version <= NEWEST_VERSION:
            return None
        return (
            f"Shopify answers the API version {API_VERSION}, which tap-shopify asks for, with "
            f"{self.version}: see docs/shopify.md, API versions."
        )

    def allow(self, scopes: Iterable[str]) -> None:
        """Raises SourceError if the app lacks a scope: it would see less than there is."""
        if missing := sorted(set(scopes) - self._scopes):
            raise SourceError(f"{self.name} does not grant the app {' and '.join(missing)}")

    @cached_property
    def _scopes(self) -> set[str]:
        # Where the shop cannot be asked, each stream would wait for it anew.
        if self._trouble:
            raise self._trouble
        try:
            told = self._ask("{ currentAppInstallation { accessScopes { handle } } }")
        except SourceError as error:
            self._trouble = error
            raise
        return {scope["handle"] for scope in told["currentAppInstallation"]["accessScopes"]}

    @cached_property
    def _way(self) -> tuple[urllib.request.OpenerDirector, str | None]:
        """What opens a request, and the proxy that it must go through."""
        return _sandbox() if self.name == SANDBOX else (urllib.request.build_opener(), None)

    def counts(self, kind: Kind, windows: Sequence[Window]) -> list[int]:
        """How many rows were last changed in each window."""
        counted: list[int] = []
        field = f"{kind.type[0].lower()}{kind.type[1:]}sCount"
        for first in range(0, len(windows), COUNTS_PER_QUERY):
            portion = windows[first : first + COUNTS_PER_QUERY]
            told = self._ask(
                "{"
                + " ".join(
                    f"w{n}: {field}(query: {json.dumps(str(window))}, limit: null)"
                    "{ count precision }"
                    for n, window in enumerate(portion)
                )
                + "}"
            )
            if any(answer["precision"] != "EXACT" for answer in told.values()):
                raise SourceError(f"{self.name} does not count all {kind.connection}")
            counted += [told[f"w{n}"]["count"] for n in range(len(portion))]
        return counted

    def rows(self, kind: Kind, window: Window) -> dict[str, dt.datetime]:
        """Ids and times of the rows, or of those that the orders list, changed in a window."""
        return {
            row["id"]: parsed(row[kind.time])
            for node in self._pages(kind, window)
            for row in (node[kind.list_] if kind.list_ else [node])
        }

    def _pages(self, kind: Kind, window: Window) -> Iterator[dict]:
        asked = f"id {kind.time}"
        if kind.list_:
            asked = f"{kind.list_} {{ {asked} }}"
        query = (
            "query ($first: Int!, $after: String, $query: String) "
            f"{{ page: {kind.connection}(first: $first, after: $after, query: $query, sortKey: ID)"
            f" {{ nodes {{ {asked} }} pageInfo {{ hasNextPage endCursor }} }} }}"
        )
        variables = {"first": LISTS_PAGE if kind.list_ else PAGE, "query": str(window)}
        while True:
            page = self._ask(query, variables)["page"]
            yield from page["nodes"]
            if not page["pageInfo"]["hasNextPage"]:
                return
            variables["after"] = page["pageInfo"]["endCursor"]

    def times(self, kind: Kind, ids: Sequence[str]) -> dict[str, dt.datetime]:
        """The times of those rows that there are, whatever the search has heard of them."""
        query = (
            f"query ($ids: [ID!]!) {{ nodes(ids: $ids) {{ id ... on {kind.type} {{ {kind.time} }} "
            "} }"
        )
        found = {}
        for first in range(0, len(ids), PAGE):
            nodes = self._ask(query, {"ids": ids[first : first + PAGE]})["nodes"]
            found |= {node["id"]: parsed(node[kind.time]) for node in nodes if node}
        return found

    def _ask(self, query: str, variables: dict | None = None) -> dict[str, Any]:
        """The data of an answer; waits where the shop asks for patience, not without end.

        Raises:
            SourceError: there is no answer, or an error in it.
        """
        told, wait, is_renewed = "", 0.0, False
        for attempt in range(TRIES):
            time.sleep(wait)
            wait = min(2.0**attempt, MAX_WAIT_SECONDS)
            if not self._token:
                self._token, is_renewed = self._fetch_token(), True
            try:
                answer, headers = self._post(
                    f"api/{API_VERSION}/graphql.json",
                    {"query": query, "variables": variables or {}},
                    {"X-Shopify-Access-Token": self._token},
                )
            except HTTPError as error:
                told = f"{self.name}.myshopify.com answers {error.code} {error.reason}"
                if error.code == 401 and self._client["client_id"] and not is_renewed:
                    self._token, wait = None, 0.0
                elif error.code == 429:
                    wait = _seconds(error.headers.get("Retry-After"), wait)
                elif error.code < 500:
                    raise SourceError(f"{told}; check {_remedy(error.code)}") from None
                continue
            except (OSError, ValueError, http.client.HTTPException) as error:
                told = f"{self.name}.myshopify.com cannot be asked: {_reason(error)}"
                continue
            self.version = headers.get("X-Shopify-API-Version") or self.version
            if not (errors := answer.get("errors")):
                return answer["data"]
            first = errors[0] if isinstance(errors, list) else {"message": errors}
            told = f"{self.name}: {_line(first['message'])}"
            if first.get("extensions", {}).get("code") != "THROTTLED":
                raise SourceError(told)
            wait = _until_paid(answer.get("extensions", {}).get("cost"), wait)
        raise SourceError(told)

    def _fetch_token(self) -> str:
        if not self._client["client_id"]:
            raise SourceError(f"no login for {self.name}.myshopify.com; check {_remedy(401)}")
        try:
            answer, _ = self._post(
                "oauth/access_token", self._client | {"grant_type": "client_credentials"}, {}
            )
            return answer["access_token"]
        except HTTPError as error:
            raise SourceError(
                f"{self.name}.myshopify.com gives the app no token ({error.code}); check "
                f"{_remedy(404 if error.code == 404 else 401)}"
            ) from None
        except (OSError, ValueError, KeyError, http.client.HTTPException) as error:
            told = f"{self.name}.myshopify.com cannot be asked: {_reason(error)}"
            raise SourceError(told) from None

    def _post(self, path: str, body: dict, headers: dict[str, str]) -> tuple[dict, Any]:
        request = urllib.request.Request(
            f"{self._admin}/{path}",
            json.dumps(body).encode(),
            {"Content-Type": "application/json", "Accept": "application/json"} | headers,
        )
        opener, proxy = self._way
        if proxy:
            request.add_header("Host", request.host)
            request.set_proxy(proxy, "http")
        with opener.open(request, timeout=TIMEOUT_SECONDS) as response:
            return json.load(response), response.headers


def parsed(text: str) -> dt.datetime:
    """A time as Shopify or a Singer state writes it, in UTC."""
    time = dt.datetime.fromisoformat(text)
    return (time if time.tzinfo else time.replace(tzinfo=dt.UTC)).astimezone(dt.UTC)


def iso(time: dt.datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%SZ}"


def _sandbox() -> tuple[urllib.request.OpenerDirector, str]:
    """The way to the sandbox's stand-in, as extract/tap-shopify has it, whatever NO_PROXY says."""
    root = os.environ.get("MELTANO_PROJECT_ROOT", "")
    folder = Path(root, os.environ.get("SANDBOX_DIR") or "output/sandbox", "shopify")
    try:
        port = json.loads((folder / "ports.json").read_text())["proxy"]
        context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    except OSError:
        raise SourceError(
            "the sandbox's shop is down: run sandbox up, or set SHOPIFY_SHOP"
        ) from None
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )
    return opener, f"127.0.0.1:{port}"


def _until_paid(cost: dict | None, otherwise: float) -> float:
    """How long until the bucket holds what the query may cost."""
    try:
        status = cost["throttleStatus"]
        lacking = cost["requestedQueryCost"] - status["currentlyAvailable"]
        return min(max(lacking / status["restoreRate"], 1.0), MAX_WAIT_SECONDS)
    except (KeyError, TypeError, ZeroDivisionError):
        return otherwise


def _seconds(text: str | None, otherwise: float) -> float:
    try:
        return min(max(float(text), 0.0), MAX_WAIT_SECONDS)
    except (TypeError, ValueError):
        return otherwise


def _remedy(code: int) -> str:
    if code == 404:
        return "SHOPIFY_SHOP"
    return "SHOPIFY_ACCESS_TOKEN, or SHOPIFY_CLIENT_ID and SHOPIFY_CLIENT_SECRET"


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return "its answer is not JSON"
    return _line(getattr(error, "reason", None) or error) or type(error).__name__


def _line(text: object) -> str:
    return " ".join(str(text).split())[:300]

"""The Shopify stand-in over the wire, as a client of Shopify sees it."""

import contextlib
import http.client
import json
import socket
import sqlite3
import ssl
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from graphql import parse
from headwater_sandbox.postgres import ServerError
from headwater_sandbox.shopify import cost, faults, schema, store
from headwater_sandbox.shopify.server import StandIn

ORDERS = 1_100
START = datetime(2026, 1, 1, tzinfo=UTC)
HOST = "rainbow-sandbox.myshopify.com"


def iso(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def updated_at(number: int) -> str:
    """Five orders share a moment, which is against the order of their numbers."""
    return iso(START + timedelta(hours=(ORDERS - number) // 5))


def bag(amount: str) -> dict:
    money = {"amount": amount, "currencyCode": "VND"}
    return {"shopMoney": money, "presentmentMoney": money}


def order(number: int) -> dict[str, Any]:
    gid = f"gid://shopify/Order/{number}"
    code = {"__typename": "DiscountCodeApplication", "code": "TẾT", "index": 0}
    return {
        "id": gid,
        "name": f"#{number}",
        "createdAt": iso(START + timedelta(hours=number)),
        "updatedAt": updated_at(number),
        "currencyCode": "VND",
        "tags": ["a", "b"],
        "totalPriceSet": bag("12345678901234567.89"),
        "customer": {"id": "gid://shopify/Customer/1"},
        "lineItems": [
            {"id": f"gid://shopify/LineItem/{number}{n}", "title": f"Áo {n}", "quantity": n}
            for n in (1, 2)
        ],
        "discountApplications": [code | {"value": {"percentage": 10.0}}],
        "transactions": [
            {"id": f"gid://shopify/OrderTransaction/{number}{n}", "kind": "SALE"} for n in (1, 2)
        ],
    }


def customer(number: int) -> dict[str, Any]:
    moment = iso(START)
    gid = f"gid://shopify/Customer/{number}"
    return {"id": gid, "firstName": "Ánh", "createdAt": moment, "updatedAt": moment}


def fill(connection: sqlite3.Connection) -> None:
    documents = [order(number + 1) for number in range(ORDERS)] + [customer(1), customer(2)]
    with connection:
        connection.executemany(
            "insert into documents values (?, ?, ?, ?, ?)",
            (
                (
                    *one["id"].split("/")[3:],
                    one["createdAt"],
                    one["updatedAt"],
                    json.dumps(one, ensure_ascii=False),
                )
                for one in documents
            ),
        )
        connection.execute("insert into clock values (1, 1, '2026-02-15')")


class Answer(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """Reaches Shopify by what `sandbox shopify env` says."""

    def __init__(self, shop: StandIn) -> None:
        environment = shop.environment
        context = ssl.create_default_context(cafile=environment["SSL_CERT_FILE"])
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({"https": environment["HTTPS_PROXY"]}),
            urllib.request.HTTPSHandler(context=context),
        )

    def __call__(self, url: str, body: Any = None, token: str = "rainbow-sandbox") -> Answer:
        headers = {"Content-Type": "application/json", "X-Shopify-Access-Token": token}
        data = None if body is None else json.dumps(body).encode()
        try:
            with self._opener.open(urllib.request.Request(url, data, headers), timeout=60) as got:
                return Answer(got.status, got.headers, got.read())
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.headers, error.read())

    def ask(
        self,
        text: str,
        version: str = "2025-07",
        token: str = "rainbow-sandbox",
        **variables: Any,
    ) -> Answer:
        url = f"https://{HOST}/admin/api/{version}/graphql.json"
        return self(url, {"query": text, "variables": variables}, token)

    def data(self, text: str, **variables: Any) -> dict[str, Any]:
        told = self.ask(text, **variables).json
        assert "errors" not in told, told
        return told["data"]

    def bulk(self, query: str, version: str = "2025-07", arguments: str = "") -> dict[str, Any]:
        """Start a bulk operation, and ask once how it is doing."""
        told = self.ask(RUN.replace("MORE", arguments), version, query=query).json
        begun = told["data"]["bulkOperationRunQuery"]
        assert begun["userErrors"] == []
        assert begun["bulkOperation"]["status"] == "CREATED"
        return self.data(POLL % begun["bulkOperation"]["id"])["node"]

    def lines(self, operation: dict[str, Any]) -> list[dict[str, Any]]:
        assert operation["url"].startswith("https://storage.googleapis.com/")
        return [json.loads(line) for line in self(operation["url"]).body.splitlines()]


RUN = """mutation run($query: String!) { bulkOperationRunQuery(query: $query MORE) {
    bulkOperation { id status } userErrors { field message } } }"""
POLL = '{ node(id: "%s") { ... on BulkOperation { id status url errorCode objectCount } } }'
IDS = "{ orders(first: 2) { edges { node { id } } } }"
BULK = """{ orders(query: "SEARCH") { edges { node {
    id name lineItems { edges { node { id quantity } } }
    discountApplications { edges { node { __typename index } } } } } } }"""
THREE = BULK.replace("SEARCH", "id:>=5 AND id:<=7")


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    shop = StandIn(tmp_path_factory.mktemp("shop"), port=None)
    with shop.writing() as connection:
        fill(connection)
    with shop:
        yield shop


@pytest.fixture
def client(shop):
    shop.faults("DELETE")
    yield Client(shop)
    shop.faults("DELETE")


def fault(shop: StandIn, kind: str, on: str | None = None, **options: Any) -> None:
    places = [on] if on else list(faults.KINDS[kind][1])
    shop.faults("POST", {"kind": kind, "on": places} | options)


def numbers(nodes: list[dict]) -> list[int]:
    return [int(node["id"].rpartition("/")[2]) for node in nodes]


# Paging and searching.


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("key", ["ID", "CREATED_AT", "UPDATED_AT"])
def test_pages_hold_every_order_once_and_in_order(client, key, reverse):
    query = """query page($after: String, $key: OrderSortKeys, $reverse: Boolean) {
        orders(first: 250, after: $after, sortKey: $key, reverse: $reverse) {
            edges { cursor node { id } }
            pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
        } }"""
    found, after, pages = [], None, []
    while True:
        page = client.data(query, after=after, key=key, reverse=reverse)["orders"]
        found += numbers([edge["node"] for edge in page["edges"]])
        pages.append((len(page["edges"]), page["pageInfo"]["hasPreviousPage"]))
        after = page["pageInfo"]["endCursor"]
        assert after == page["edges"][-1]["cursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    in_order = sorted(
        range(1, ORDERS + 1),
        key=(lambda n: (updated_at(n), n)) if key == "UPDATED_AT" else None,
        reverse=reverse,
    )
    assert found == in_order
    assert pages == [(250, False), *[(250, True)] * 3, (100, True)]


@pytest.mark.parametrize("sort_key", ["ID", "CREATED_AT", "UPDATED_AT"])
def test_a_late_page_is_found_as_fast_as_the_first(shop, sort_key):
    terms = store.parse_search("updated_at:>='2026-01-01' AND updated_at:<'2027-01-01'")
    steps = []

    with contextlib.closing(sqlite3.connect(shop.store)) as connection:
        reader = store.Reader(connection)

        def page(after):
            done = [0]

            def count():
                done[0] += 1

            connection.set_progress_handler(count, 10)
            rows = reader.page("Order", terms, sort_key, False, after, 50)
            connection.set_progress_handler(None, 10)
            steps.append(done[0])
            return rows

        after, seen = None, 0
        while rows := page(after):
            after, seen = rows[-1].cursor, seen + len(rows)
    assert seen == ORDERS
    assert max(steps) < 2 * steps[0]


@pytest.mark.parametrize(
    ("since", "until", "hours"),
    [
        ("2026-01-01 02:00:00+00:00", "2026-01-01 04:00:00+00:00", (2, 3)),
        ("2026-01-01T02:00:00.000000Z", "2026-01-01T04:00:00.000000Z", (2, 3)),
        ("2026-01-01T09:00:00+07:00", "2026-01-01T11:00:00+07:00", (2, 3)),
        ("2026-01-01T01:59:59.000001Z", "2026-01-01T03:00:00.000001Z", (2, 3)),
        ("2026-01-01T02:00:00.000001Z", "2026-01-01T03:00:00.000001Z", (3,)),
    ],
)
def test_times_are_searched_in_every_format(client, since, until, hours):
    query = "query q($query: String) { orders(first: 250, query: $query) { nodes { id } } }"
    for joint in (" AND ", " "):
        search = f"updated_at:>='{since}'{joint}updated_at:<'{until}'"
        found = client.data(query, query=search)["orders"]["nodes"]
        moments = {iso(START + timedelta(hours=hour)) for hour in hours}
        wanted = [n for n in range(1, ORDERS + 1) if updated_at(n) in moments]
        assert sorted(numbers(found)) == wanted


@pytest.mark.parametrize("search", ["id:7", "id:gid://shopify/Order/7", "id:>6 id:<=7"])
def test_ids_are_searched(client, search):
    found = client.data(f'{{ orders(first: 9, query: "{search}") {{ nodes {{ id }} }} }}')
    assert numbers(found["orders"]["nodes"]) == [7]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ('first: 9, query: "sku:7"', "the stand-in searches by id, created_at, updated_at"),
        ('first: 9, query: "id:7 OR id:8"', "the stand-in searches by"),
        ("first: 9, query: \"created_at:>='soon'\"", "not a time: soon"),
        ("first: 9, query: \"created_at:'2026-01-01'\"", "created_at needs one of"),
        ('first: 9, query: "id:x"', "not an id: x"),
        ("first: 9, sortKey: TOTAL_PRICE", "sorts by ID, CREATED_AT, PROCESSED_AT, UPDATED_AT"),
        ('first: 9, after: "eyJ4IjoxfQ=="', "not a cursor"),
        ("last: 9", "the stand-in has no last"),
        ("first: 251", "first must be given, from 0 to 250"),
        ("reverse: true", "first must be given, from 0 to 250"),
    ],
)
def test_what_the_stand_in_cannot_do_it_says(client, arguments, message):
    told = client.ask(f"{{ orders({arguments}) {{ nodes {{ id }} }} }}").json
    assert told["data"] is None
    (error,) = told["errors"]
    assert message in error["message"]
    assert error["path"] == ["orders"]


def test_counts_are_exact_up_to_their_limit(client):
    query = """query counts($limit: Int) {
        all: ordersCount { count precision }
        few: ordersCount(query: "id:<=7", limit: $limit) { count precision }
        customersCount { count }
        productsCount { count } }"""
    assert client.data(query, limit=7) == {
        "all": {"count": ORDERS, "precision": "EXACT"},
        "few": {"count": 7, "precision": "EXACT"},
        "customersCount": {"count": 2},
        "productsCount": {"count": 0},
    }
    assert client.data(query, limit=6)["few"] == {"count": 6, "precision": "AT_LEAST"}


# What a document becomes.


def test_a_document_is_answered_as_its_schema_says(client):
    query = """query one($id: ID!, $isTold: Boolean!) {
        order(id: $id) {
            gid: id legacyResourceId name @include(if: $isTold)
            note test tags displayFinancialStatus
            totalPriceSet { shopMoney { ...money } }
            totalRefundedSet { presentmentMoney { ...money } }
            customer { firstName displayName email }
            transactions(first: 1) { __typename id kind }
            lineItems(first: 1) { edges { node { title } } pageInfo { hasNextPage endCursor } }
            refunds { id }
            discountApplications(first: 5) { nodes {
                __typename index
                ... on DiscountCodeApplication { code }
                ... on ManualDiscountApplication { title }
                value { ... on PricingPercentageValue { percentage } ... on MoneyV2 { amount } } } }
        } }
        fragment money on MoneyV2 { amount currencyCode }"""
    found = client.data(query, id="gid://shopify/Order/7", isTold=False)["order"]
    cursor = found["lineItems"]["pageInfo"].pop("endCursor")
    assert found == {
        "gid": "gid://shopify/Order/7",
        "legacyResourceId": "7",
        "note": None,
        "test": False,
        "tags": ["a", "b"],
        "displayFinancialStatus": None,
        "totalPriceSet": {
            "shopMoney": {"amount": "12345678901234567.89", "currencyCode": "VND"},
        },
        "totalRefundedSet": {"presentmentMoney": {"amount": "0.0", "currencyCode": "VND"}},
        "customer": {"firstName": "Ánh", "displayName": "", "email": None},
        "transactions": [
            {
                "__typename": "OrderTransaction",
                "id": "gid://shopify/OrderTransaction/71",
                "kind": "SALE",
            }
        ],
        "lineItems": {"edges": [{"node": {"title": "Áo 1"}}], "pageInfo": {"hasNextPage": True}},
        "refunds": [],
        "discountApplications": {
            "nodes": [
                {
                    "__typename": "DiscountCodeApplication",
                    "index": 0,
                    "code": "TẾT",
                    "value": {"percentage": 10.0},
                }
            ]
        },
    }
    rest = """query rest($after: String) { order(id: "gid://shopify/Order/7") {
        lineItems(first: 5, after: $after) { nodes { title } pageInfo { hasNextPage } } } }"""
    assert client.data(rest, after=cursor)["order"]["lineItems"] == {
        "nodes": [{"title": "Áo 2"}],
        "pageInfo": {"hasNextPage": False},
    }


def test_nodes_are_found_by_their_ids(client):
    query = """{ nodes(ids: ["gid://shopify/Customer/2", "gid://shopify/Order/9999",
        "gid://shopify/Shop/1"]) { __typename id ... on Customer { firstName } } }"""
    assert client.data(query)["nodes"] == [
        {"__typename": "Customer", "id": "gid://shopify/Customer/2", "firstName": "Ánh"},
        None,
        None,
    ]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("{ orders(first: 1) { nodes { nope } } }", "Cannot query field 'nope' on type 'Order'"),
        ("{ orders(first: 1) { nodes { customer } } }", "must have a selection of subfields"),
        ("{ order(id: 1.5) { id } }", "ID cannot represent"),
        ("query q($a: Nope) { shop { name } }", "Unknown type 'Nope'"),
        ("{ orders(", "Syntax Error"),
    ],
)
def test_a_query_that_shopifys_schema_refuses_is_refused(client, query, message):
    told = client.ask(query).json
    assert "data" not in told
    assert message in told["errors"][0]["message"]


# Cost.

DEAR = "{ orders(first: 250) { nodes { lineItems(first: 250) { nodes { product { id } } } } } }"


def test_an_answer_tells_its_cost(client):
    told = client.ask("{ orders(first: 100) { nodes { id customer { id } } } }").json
    assert told["extensions"]["cost"] == {
        "requestedQueryCost": 22,
        "actualQueryCost": 21,
        "throttleStatus": {
            "maximumAvailable": 20000.0,
            "currentlyAvailable": told["extensions"]["cost"]["throttleStatus"][
                "currentlyAvailable"
            ],
            "restoreRate": 1000.0,
        },
    }


def test_a_bucket_empties_and_fills_at_its_rate():
    now = [0.0]
    bucket = cost.Bucket("standard", lambda: now[0])
    assert [bucket.take(1000), bucket.take(1000), bucket.take(1)] == [True, True, False]
    now[0] = 0.5
    assert bucket.status(60, None)["throttleStatus"] == {
        "maximumAvailable": 2000.0,
        "currentlyAvailable": 50,
        "restoreRate": 100.0,
    }
    assert [bucket.take(51), bucket.take(50)] == [False, True]
    bucket.give_back(40)
    assert bucket.available == 40
    now[0] = 1000
    assert bucket.available == 2000


@pytest.mark.parametrize(
    ("query", "points"),
    [
        ("{ shop { name } }", 1),
        ("query q($n: Int) { orders(first: $n) { edges { node { id } } } }", 2 + 25),
        ("{ orders(first: 50) { nodes { ...f } } } fragment f on Order { customer { id } }", 12),
        ("{ orders(first: 250) { nodes { lineItems(first: 250) { nodes { id } } } } }", 702),
        (DEAR, 1000),
        ('mutation m { bulkOperationRunQuery(query: "{}") { userErrors { message } } }', 10),
    ],
)
def test_a_query_costs_what_it_may_return(query, points):
    assert cost.requested(parse(query), {"n": 250}) == points


def test_an_empty_bucket_throttles(tmp_path):
    # At the standard plan's hundred points a second it is empty after a few queries of a thousand.
    shop = StandIn(tmp_path, port=None)
    with shop.writing() as connection:
        fill(connection)
    shop.start("standard")
    try:
        told = [Client(shop).ask(DEAR).json for _ in range(40)]
    finally:
        shop.stop()
    throttled = next(one for one in told if "errors" in one)
    assert "data" not in throttled
    assert throttled["errors"][0]["extensions"]["code"] == "THROTTLED"
    assert throttled["extensions"]["cost"]["requestedQueryCost"] == 1000
    assert throttled["extensions"]["cost"]["throttleStatus"]["currentlyAvailable"] < 1000


# Bulk operations.


@pytest.mark.parametrize("how", ["as asked", "by default until 2025-10"])
def test_bulk_output_is_grouped_under_its_orders(shop, client, how):
    if how == "as asked":
        operation = client.bulk(THREE, arguments=", groupObjects: true")
    else:
        fault(shop, "retired", value="2025-07")
        operation = client.bulk(THREE, version="2025-10")
    assert (operation["status"], operation["objectCount"]) == ("COMPLETED", "12")
    body = client(operation["url"]).body.decode()
    first = [
        '{"id":"gid://shopify/Order/5","name":"#5"}',
        '{"id":"gid://shopify/LineItem/51","quantity":1,"__parentId":"gid://shopify/Order/5"}',
        '{"id":"gid://shopify/LineItem/52","quantity":2,"__parentId":"gid://shopify/Order/5"}',
        '{"__typename":"DiscountCodeApplication","index":0,"__parentId":"gid://shopify/Order/5"}',
    ]
    assert body.splitlines()[:4] == first
    parents = [line.get("__parentId", line.get("id")) for line in client.lines(operation)]
    assert parents == [f"gid://shopify/Order/{n}" for n in (5, 6, 7) for _ in range(4)]


@pytest.mark.parametrize("how", ["as asked", "by default from 2026-01 on"])
def test_bulk_output_may_be_ungrouped(shop, client, how):
    query = BULK.replace("SEARCH", "")  # more orders than are read at once
    grouped = client.lines(client.bulk(query, arguments=", groupObjects: true"))
    if how == "as asked":
        fault(shop, "retired", value="2025-07")
        operation = client.bulk(query, arguments=", groupObjects: false")
    else:
        operation = client.bulk(query)
    lines = client.lines(operation)
    assert ["__parentId" in line for line in lines] == [False] * ORDERS + [True] * 3 * ORDERS
    assert sorted(map(str, lines)) == sorted(map(str, grouped))


def test_bulk_output_holds_all_pages(client):
    operation = client.bulk(BULK.replace("SEARCH", ""))
    orders = [line for line in client.lines(operation) if "name" in line]
    assert sorted(numbers(orders)) == list(range(1, ORDERS + 1))
    assert operation["objectCount"] == str(ORDERS * 4)


def test_an_empty_window_has_no_output(client):
    operation = client.bulk(BULK.replace("SEARCH", "updated_at:>='2027-01-01'"))
    assert operation == {
        "id": operation["id"],
        "status": "COMPLETED",
        "url": None,
        "errorCode": None,
        "objectCount": "0",
    }


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("{ orders { edges { node { nope } } } }", "Cannot query field 'nope'"),
        ("{ shop { name } }", "must contain at least one connection"),
        ("{ orders { nodes { id } } customers { nodes { id } } }", "exactly one connection"),
        (
            "{ orders { edges { node { name lineItems { edges { node { id } } } } } } }",
            "must select the 'id' field",
        ),
        ("{ collections { nodes { id } } }", "the stand-in has no collections"),
    ],
)
def test_a_query_that_bulk_operations_do_not_take_is_a_user_error(client, query, message):
    told = client.data(RUN.replace("MORE", ""), query=query)["bulkOperationRunQuery"]
    assert told["bulkOperation"] is None
    assert message in told["userErrors"][0]["message"]


def test_one_bulk_operation_runs_at_a_time(shop, client):
    fault(shop, "running", times=2)
    first = client.bulk(THREE)
    assert (first["status"], first["url"]) == ("RUNNING", None)
    run = """mutation { bulkOperationRunQuery(query: "{ orders { nodes { id } } }") {
        bulkOperation { id } userErrors { message } } }"""
    told = client.data(run)["bulkOperationRunQuery"]
    assert told["bulkOperation"] is None
    assert told["userErrors"][0]["message"] == (
        f"A bulk query operation for this app and shop is already in progress: {first['id']}."
    )
    current = "{ currentBulkOperation { id status } }"
    statuses = [client.data(current)["currentBulkOperation"] for _ in range(2)]
    assert statuses == [
        {"id": first["id"], "status": "RUNNING"},
        {"id": first["id"], "status": "COMPLETED"},
    ]
    fault(shop, "running", times=0)
    assert client.bulk(THREE)["status"] == "RUNNING"
    shop.faults("DELETE")
    assert client.bulk(THREE)["status"] == "COMPLETED"


# Who may ask.


def test_a_wrong_token_and_an_unknown_shop_are_refused(client):
    told = client.ask(IDS, token="wrong")
    assert told.status == 401
    assert told.json["errors"].startswith("[API] Invalid API key or access token")
    other = client("https://other.myshopify.com/admin/api/2025-07/graphql.json", {"query": IDS})
    assert (other.status, other.json) == (404, {"errors": "Not Found"})
    there = client(f"https://{HOST}/admin/api/2025-07/shop.json")
    assert (there.status, there.json["shop"]["myshopify_domain"]) == (200, HOST)


def test_client_credentials_get_a_token(client):
    login = {"client_id": "rainbow-sandbox", "client_secret": "rainbow-sandbox"}
    url, grant = f"https://{HOST}/admin/oauth/access_token", {"grant_type": "client_credentials"}
    granted = client(url, login | grant).json
    assert granted["scope"] == "read_all_orders,read_customers,read_orders,read_products"
    assert client.ask(IDS, token=granted["access_token"]).status == 200
    refused = client(url, login | grant | {"client_secret": "wrong"})
    assert (refused.status, refused.json["error"]) == (401, "invalid_client")


def test_scopes_are_told_and_kept(shop, client):
    handles = "{ currentAppInstallation { accessScopes { handle } } }"
    before = client.data(handles)["currentAppInstallation"]["accessScopes"]
    assert [scope["handle"] for scope in before] == [
        "read_all_orders",
        "read_customers",
        "read_orders",
        "read_products",
    ]
    fault(shop, "missing-scope", value="read_orders")
    after = client.data(handles)["currentAppInstallation"]["accessScopes"]
    assert {"handle": "read_orders"} not in after
    told = client.ask(IDS).json
    assert told["data"] is None
    assert told["errors"][0]["message"] == (
        "Access denied for orders field. Required access: `read_orders` access scope."
    )
    assert told["errors"][0]["extensions"]["code"] == "ACCESS_DENIED"
    assert len(client.data("{ customers(first: 9) { nodes { id } } }")["customers"]["nodes"]) == 2
    denied = client.bulk(THREE)
    assert (denied["status"], denied["errorCode"]) == ("FAILED", "ACCESS_DENIED")


def test_without_a_scope_of_its_own_old_orders_are_not_seen(shop, client):
    fault(shop, "missing-scope", value="read_all_orders")
    # Sixty days before 2026-02-15 is before all of them, but in later days not.
    assert client.data("{ ordersCount { count } }")["ordersCount"]["count"] == ORDERS
    with shop.writing() as connection, connection:
        connection.execute("update clock set day = '2026-03-05'")
    try:
        count = client.data("{ ordersCount { count } }")["ordersCount"]["count"]
        lines = client.lines(client.bulk("{ orders { edges { node { id } } } }"))
    finally:
        with shop.writing() as connection, connection:
            connection.execute("update clock set day = '2026-02-15'")
    recent = [n for n in range(1, ORDERS + 1) if order(n)["createdAt"] >= "2026-01-04T00:00:00Z"]
    assert len(recent) == ORDERS - 71
    assert count == len(recent)
    assert sorted(numbers(lines)) == recent


# Versions.


def test_a_version_is_served_as_asked_or_the_next_one_is(shop, client):
    def served(version):
        told = client.ask(IDS, version)
        return told.status, told.headers["X-Shopify-API-Version"]

    assert {version: served(version) for version in schema.VERSIONS} == {
        "2025-07": (200, "2026-01"),
        "2025-10": (200, "2026-01"),
        "2026-01": (200, "2026-01"),
        "2026-04": (200, "2026-04"),
    }
    assert served("2024-01") == (200, "2026-01")
    assert served("2031-01") == (404, None)
    supported = "{ publicApiVersions { handle supported } }"
    assert client.data(supported)["publicApiVersions"] == [
        {"handle": version, "supported": version >= "2026-01"} for version in schema.VERSIONS
    ]


def test_other_versions_may_be_served(shop, client):
    for oldest in ("2025-07", "2026-04"):
        fault(shop, "retired", value=oldest)
        answer = client.ask(IDS, "2025-07")
        assert (answer.status, answer.headers["X-Shopify-API-Version"]) == (200, oldest)
        shop.faults("DELETE")


# Faults.


@pytest.mark.parametrize("kind", ["401", "403", "404", "429", "500", "503"])
def test_a_status_is_a_fault(shop, client, kind):
    fault(shop, kind)
    told = client.ask(IDS)
    assert told.status == int(kind)
    assert told.headers["Retry-After"] == ("1" if kind == "429" else None)
    assert client.ask(IDS).status == 200


def test_throttling_is_a_fault_where_and_when_it_is_asked_for(shop, client):
    fault(shop, "throttled", on="poll")
    fault(shop, "throttled", root="customers", after=1, times=2)
    assert "errors" not in client.ask(IDS).json
    customers = "{ customers(first: 1) { nodes { id } } }"
    told = [client.ask(customers).json for _ in range(4)]
    assert ["errors" in one for one in told] == [False, True, True, False]
    assert told[1]["errors"] == [
        {
            "message": "Throttled",
            "extensions": {
                "code": "THROTTLED",
                "documentation": "https://shopify.dev/api/usage/rate-limits",
            },
        }
    ]
    run = """mutation { bulkOperationRunQuery(query: "{ orders { nodes { id } } }") {
        bulkOperation { id } userErrors { message } } }"""
    gid = client.data(run)["bulkOperationRunQuery"]["bulkOperation"]["id"]
    polls = [client.ask(POLL % gid).json for _ in range(2)]
    assert ["data" in poll for poll in polls] == [False, True]
    fault(shop, "throttled", on="submit")
    assert client.ask(run).json["errors"][0]["message"] == "Throttled"


def test_a_fault_without_end_lasts_until_it_is_cleared(shop, client):
    fault(shop, "503", times=0)
    assert [client.ask(IDS).status for _ in range(3)] == [503] * 3
    shop.faults("DELETE")
    assert client.ask(IDS).status == 200


def test_a_page_of_html_is_a_fault(shop, client):
    fault(shop, "html")
    told = client.ask(IDS)
    assert (told.status, told.headers.get_content_type()) == (200, "text/html")
    assert told.body.startswith(b"<!DOCTYPE html>")


def test_a_slow_answer_comes(shop, client):
    fault(shop, "slow", value="0.01")
    assert client.ask(IDS).status == 200
    assert shop.faults() == []


def test_a_download_is_cut_off(shop, client):
    operation = client.bulk(BULK.replace("SEARCH", ""))
    fault(shop, "truncated")
    with pytest.raises(http.client.IncompleteRead) as error:
        client(operation["url"])
    assert error.value.partial
    assert len(client.lines(operation)) == ORDERS * 4


@pytest.mark.parametrize("kind", ["500", "html"])
def test_a_download_fails(shop, client, kind):
    operation = client.bulk(THREE)
    fault(shop, kind, on="download")
    told = client(operation["url"])
    assert (told.status, b"__parentId" in told.body) == (500 if kind == "500" else 200, False)
    assert client("https://storage.googleapis.com" + "/else").status == 404


def test_a_bulk_operation_fails(shop, client):
    fault(shop, "failed", value="TIMEOUT")
    operation = client.bulk(THREE)
    assert (operation["status"], operation["errorCode"], operation["url"]) == (
        "FAILED",
        "TIMEOUT",
        None,
    )
    assert client.bulk(THREE)["status"] == "COMPLETED"


@pytest.mark.parametrize(("kind", "status"), [("expired", 200), ("revoked", 401)])
def test_tokens_end_and_are_renewed_or_not(shop, client, kind, status):
    url = f"https://{HOST}/admin/oauth/access_token"
    login = dict.fromkeys(("client_id", "client_secret"), "rainbow-sandbox")
    login["grant_type"] = "client_credentials"
    fault(shop, kind, after=2)
    assert [client.ask(IDS).status for _ in range(4)] == [200, 200, 401, 401]
    granted = client(url, login)
    assert granted.status == status
    if status == 200:
        assert client.ask(IDS, token=granted.json["access_token"]).status == 200
    assert client.ask(IDS).status == 401
    shop.faults("DELETE")
    assert client.ask(IDS).status == 200


# The server.


@pytest.mark.parametrize(
    "line",
    [
        "CONNECT example.com:443",
        "CONNECT myshopify.com.example.com:443",
        "CONNECT example-myshopify.com:443",
        "CONNECT storage.googleapis.com:80",
        "CONNECT rainbow-sandbox.myshopify.com",
        f"GET https://{HOST}/admin/api/2025-07/shop.json",
    ],
)
def test_the_proxy_leads_nowhere_else(shop, client, line):
    port = int(shop.proxy.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(f"{line} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert connection.makefile("rb").read().startswith(b"HTTP/1.1 403 Forbidden\r\n")
    assert client.ask(IDS).status == 200


def test_its_certificate_is_for_its_own_clients(shop):
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({"https": shop.proxy}),
        urllib.request.HTTPSHandler(context=ssl.create_default_context()),
    )
    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        opener.open(f"https://{HOST}/", timeout=10)
    assert (shop.directory / "server.pem").stat().st_mode & 0o077 == 0


def test_a_life(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        shop = StandIn(tmp_path / "shop", port)
        with pytest.raises(ServerError, match="not up: `sandbox shopify up`"):
            shop.environment  # noqa: B018
        try:
            shop.start()
            assert shop.proxy != f"http://127.0.0.1:{port}"
            assert shop.facts["plan"] == "plus"
            fault(shop, "500", times=0)
            first = Path(tmp_path / "shop/process.json").read_text()
            shop.start()
            assert Path(tmp_path / "shop/process.json").read_text() == first
            shop.start("standard")
            assert shop.facts["plan"] == "standard"
            assert shop.faults() == []
        finally:
            shop.stop()
    assert not shop.is_running
    shop.stop()


def test_what_does_not_start_says_why(tmp_path):
    shop = StandIn(tmp_path, port=None)
    (tmp_path / "server.pem").mkdir()
    with pytest.raises(ServerError, match=r"the Shopify stand-in did not start: IsADirectoryError"):
        shop.start()
    assert not shop.is_running

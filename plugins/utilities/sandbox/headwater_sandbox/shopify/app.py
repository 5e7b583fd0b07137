"""Shopify's Admin API over the shop's documents, as an ASGI application."""

import functools
import itertools
import secrets
import threading
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from graphql import (
    GraphQLError,
    GraphQLSchema,
    GraphQLSyntaxError,
    parse,
    specified_rules,
    validate,
)
from graphql.language import DocumentNode, FieldNode
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Route

from headwater_sandbox.shopify import bulk, cost, schema
from headwater_sandbox.shopify.execution import CURRENCY, as_connection, run
from headwater_sandbox.shopify.faults import Fault, Faults
from headwater_sandbox.shopify.store import (
    KINDS,
    Reader,
    SearchError,
    Term,
    connect,
    parse_search,
    reading,
)

SHOP = "rainbow-sandbox"
HOST = f"{SHOP}.myshopify.com"
# What the shop's own app would be given; they open nothing but the stand-in.
ACCESS_TOKEN = CLIENT_ID = CLIENT_SECRET = SHOP
SCOPES = ("read_all_orders", "read_customers", "read_orders", "read_products")
OUTPUT = "shopify-sandbox/bulk-operation-outputs"
FIELD_OF = {kind: kind[0].lower() + kind[1:] for kind in KINDS}  # Order: order
OLDEST_VERSION = "2026-01"  # what Shopify serves in November 2026
MAX_FIRST = 250
RECENT_DAYS = 60
STATUS_TEXTS = {
    "401": "[API] Invalid API key or access token (unrecognized login or wrong password)",
    "403": "[API] This action requires merchant approval for a scope.",
    "404": "Not Found",
    "429": "Exceeded 2 calls per second for api client. Reduce request rates to resume "
    "uninterrupted service.",
    "500": "Internal Server Error",
    "503": "Service Unavailable",
}
HTML = "<!DOCTYPE html><html><head><title>Something went wrong</title></head></html>"
IN_PROGRESS = "A bulk query operation for this app and shop is already in progress: {}."


class Refused(Exception):
    """An answer that is decided before the query runs."""

    def __init__(self, response: Response) -> None:
        self.response = response


class Shop:
    """One shop: its documents under `directory`, the tokens it issued, its bucket, its faults."""

    def __init__(self, directory: Path, plan: str) -> None:
        self.store = directory / "shop.sqlite"
        connect(self.store).close()
        self.outputs = directory / "bulk"
        self.outputs.mkdir(parents=True, exist_ok=True)
        self.faults = Faults()
        self.bucket = cost.Bucket(plan)
        self.tokens = {ACCESS_TOKEN}
        self.is_revoked = False
        self.operations: dict[str, dict[str, Any]] = {}
        self._ends: dict[str, dict[str, Any]] = {}  # of operations that are shown as running
        self._begins = threading.Lock()
        self._numbers = itertools.count(int(time.time()))

    # What any request goes through.

    def check(self, request: Request, place: str, root: str | None = None) -> None:
        """Let a request for a place pass.

        Raises:
            Refused: it is not for this shop or has no valid token, or a fault is due.
        """
        if fault := self.faults.take(place, root, "expired", "revoked"):
            self.tokens.clear()
            self.is_revoked = fault.kind == "revoked"
        if fault := self.faults.take(place, root, *STATUS_TEXTS, "html", "slow", "throttled"):
            self._happen(fault)
        if request.url.hostname != HOST:
            raise Refused(failure("404"))
        if place != "token" and request.headers.get("x-shopify-access-token") not in self.tokens:
            raise Refused(failure("401"))

    def _happen(self, fault: Fault) -> None:
        if fault.kind == "slow":
            time.sleep(float(fault.value or 5))
        elif fault.kind == "html":
            raise Refused(Response(HTML, media_type="text/html"))
        elif fault.kind == "throttled":
            raise Refused(self.throttled(cost.QUERY_LIMIT))
        else:
            wait = {"Retry-After": fault.value or "1"} if fault.kind == "429" else None
            raise Refused(failure(fault.kind, wait))

    def throttled(self, requested: int) -> Response:
        error = {
            "message": "Throttled",
            "extensions": {
                "code": "THROTTLED",
                "documentation": "https://shopify.dev/api/usage/rate-limits",
            },
        }
        told = {"cost": self.bucket.status(requested, None)}
        return answer({"errors": [error], "extensions": told})

    def version(self, asked: str) -> str:
        """The version that is served to who asks for one: an old one falls forward.

        Raises:
            Refused: there is no such version.
        """
        served = self._served()
        if asked in served:
            return asked
        if asked < served[0] and asked[:4].isdecimal():
            return served[0]
        raise Refused(failure("404"))

    def _served(self) -> list[str]:
        oldest = self.faults.value("retired") or OLDEST_VERSION
        return [one for one in schema.VERSIONS if one >= oldest] or [schema.VERSIONS[-1]]

    @property
    def scopes(self) -> list[str]:
        return [scope for scope in SCOPES if scope != self.faults.value("missing-scope")]

    # The requests.

    def shop_json(self, request: Request) -> Response:
        self.check(request, "shop")
        version = self.version(request.path_params["version"])
        shop = {
            "id": 1,
            "name": "Rainbow",
            "email": "owner@rainbow.example",
            "domain": HOST,
            "myshopify_domain": HOST,
            "currency": CURRENCY,
            "iana_timezone": "Asia/Ho_Chi_Minh",
            "plan_name": "basic",
        }
        return answer({"shop": shop}, version)

    def access_token(self, request: Request, body: dict[str, Any]) -> Response:
        self.check(request, "token")
        login = (body.get("client_id"), body.get("client_secret"), body.get("grant_type"))
        if self.is_revoked or login != (CLIENT_ID, CLIENT_SECRET, "client_credentials"):
            error = {"error": "invalid_client", "error_description": "Client is not authorized."}
            return answer(error, status=401)
        token = f"shpat_{secrets.token_hex(16)}"
        self.tokens.add(token)
        granted = {"scope": ",".join(self.scopes), "expires_in": 86399}
        return answer({"access_token": token} | granted)

    def graphql(self, request: Request, body: dict[str, Any]) -> Response:
        text, variables = body.get("query") or "", body.get("variables") or {}
        version = self.version(request.path_params["version"])
        query, errors = parsed(version, text)
        root = _root_field(query)
        self.check(request, _place(query, root), root)
        if errors:
            return answer({"errors": errors}, version)
        requested = cost.requested(query, variables)
        if not self.bucket.take(requested):
            return self.throttled(requested)
        with reading(self.store) as reader:
            result = run(
                schema.load(version),
                *(query, reader, self._root(version, reader), variables, body.get("operationName")),
            )
        actual = cost.actual(result.data, requested)
        self.bucket.give_back(requested - actual)
        told = {"data": result.data} | (
            {"errors": [_formatted(error) for error in result.errors]} if result.errors else {}
        )
        extensions = {"cost": self.bucket.status(requested, actual)}
        return answer(told | {"extensions": extensions}, version)

    def download(self, request: Request) -> Response:
        """A bulk operation's output, by an address that needs no token."""
        path = self.outputs / f"{request.path_params['number']}.jsonl"
        if not path.exists():
            return failure("404")
        if fault := self.faults.take("download", None, *STATUS_TEXTS, "html", "slow", "truncated"):
            if fault.kind == "truncated":
                return _truncated(path)
            self._happen(fault)
        return FileResponse(path, media_type="application/jsonl")

    # The root fields.

    def _root(self, version: str, reader: Reader) -> dict[str, Any]:
        root = {
            "bulkOperationRunQuery": functools.partial(self._run_bulk, version, reader),
            "currentAppInstallation": self._installation,
            "currentBulkOperation": self._current_bulk,
            "node": functools.partial(self._node, reader),
            "nodes": lambda ids: [self._node(reader, one) for one in ids],
            "publicApiVersions": self._versions,
            "shop": {
                "id": "gid://shopify/Shop/1",
                "name": "Rainbow",
                "myshopifyDomain": HOST,
                "currencyCode": CURRENCY,
                "ianaTimezone": "Asia/Ho_Chi_Minh",
            },
        }
        for kind, field in FIELD_OF.items():
            root[field] = functools.partial(self._one, reader, kind)
            root[f"{field}s"] = functools.partial(self._page, reader, kind)
            root[f"{field}sCount"] = functools.partial(self._count, reader, kind)
        return root

    def _allow(self, kind: str, field: str) -> None:
        scope = f"read_{'products' if kind.startswith('Product') else FIELD_OF[kind] + 's'}"
        if scope not in self.scopes:
            raise GraphQLError(
                f"Access denied for {field} field. Required access: `{scope}` access scope.",
                extensions={"code": "ACCESS_DENIED", "requiredAccess": f"`{scope}` access scope."},
            )

    def _terms(self, reader: Reader, kind: str, query: str | None) -> list[Term]:
        """A search, and what an app may not see: without a scope of its own, old orders."""
        terms = parse_search(query)
        if kind == "Order" and "read_all_orders" not in self.scopes:
            since = date.fromisoformat(reader.day) - timedelta(days=RECENT_DAYS)
            terms.append(Term("created_at", ">=", f"{since}T00:00:00Z"))
        return terms

    def _node(self, reader: Reader, id: str) -> dict | None:
        if id in self.operations:
            return self._polled(id)
        kind = id.removeprefix("gid://shopify/").partition("/")[0]
        return self._one(reader, kind, id) if kind in KINDS else None

    def _one(self, reader: Reader, kind: str, id: str) -> dict | None:
        self._allow(kind, FIELD_OF[kind])
        return reader.document(id) if f"/{kind}/" in id else None

    def _page(
        self,
        reader: Reader,
        kind: str,
        sortKey: str,
        reverse: bool,
        first: int | None = None,
        after: str | None = None,
        query: str | None = None,
        **unknown: Any,
    ) -> dict:
        self._allow(kind, f"{FIELD_OF[kind]}s")
        if any(value is not None for value in unknown.values()):
            raise GraphQLError(f"the stand-in has no {', '.join(unknown)}")
        if first is None or not 0 <= first <= MAX_FIRST:
            raise GraphQLError(f"first must be given, from 0 to {MAX_FIRST}")
        terms = self._terms(reader, kind, query)
        rows = reader.page(kind, terms, sortKey, reverse, after, first + 1)
        edges = [{"cursor": row.cursor, "node": row.document} for row in rows[:first]]
        return as_connection(edges, has_next=len(rows) > first, has_previous=after is not None)

    def _count(
        self,
        reader: Reader,
        kind: str,
        query: str | None = None,
        limit: int | None = None,
        savedSearchId: str | None = None,
    ) -> dict:
        self._allow(kind, f"{FIELD_OF[kind]}sCount")
        terms = self._terms(reader, kind, query)
        count = reader.count(kind, terms, None if limit is None else limit + 1)
        if limit is not None and count > limit:
            return {"count": limit, "precision": "AT_LEAST"}
        return {"count": count, "precision": "EXACT"}

    def _installation(self) -> dict:
        scopes = [{"handle": scope, "description": scope} for scope in self.scopes]
        return {"id": "gid://shopify/AppInstallation/1", "accessScopes": scopes}

    def _versions(self) -> list[dict]:
        served = self._served()
        return [
            {"handle": one, "displayName": one, "supported": one in served}
            for one in schema.VERSIONS
        ]

    # Bulk operations.

    def _current_bulk(self, type: str) -> dict | None:
        queries = list(self.operations) if type == "QUERY" else []
        return self._polled(queries[-1]) if queries else None

    def _polled(self, gid: str) -> dict:
        """An operation as it is shown: complete, unless a fault asks otherwise."""
        if gid in self._ends and not self.faults.take("poll", None, "running"):
            self.operations[gid] = self._ends.pop(gid)
        return self.operations[gid]

    def _run_bulk(self, version: str, reader: Reader, query: str, groupObjects: bool) -> dict:
        parsed_query, errors = parsed(version, query)
        if errors:
            return _bulk_error(f"Invalid bulk query: {errors[0]['message']}", "INVALID")
        number = next(self._numbers)
        gid = f"gid://shopify/BulkOperation/{number}"
        operation = {"id": gid, "type": "QUERY", "query": query, "createdAt": _now()}
        with self._begins:
            if running := self._running():
                return _bulk_error(IN_PROGRESS.format(running), "OPERATION_IN_PROGRESS")
            self.operations[gid] = operation | {"status": "RUNNING"}
        path = self.outputs / f"{number}.jsonl"
        try:
            end = self._bulk_output(schema.load(version), parsed_query, reader, path, groupObjects)
        except (bulk.BulkError, SearchError) as error:
            del self.operations[gid]
            return _bulk_error(str(error), "INVALID")
        except GraphQLError as error:
            end = _failed((error.extensions or {}).get("code"))
        if fault := self.faults.take("submit", None, "failed"):
            end = _failed(fault.value)
        self._ends[gid] = operation | end | {"completedAt": _now()}
        if not self.faults.waits("running"):
            self.operations[gid] = self._ends.pop(gid)
        # It has begun and is not done: so Shopify answers, however fast it is.
        return {"bulkOperation": operation | {"status": "CREATED"}, "userErrors": []}

    def _running(self) -> str | None:
        """The id of the operation that runs, or of which a fault says so."""
        for gid in list(self._ends) if not self.faults.waits("running") else ():
            self.operations[gid] = self._ends.pop(gid)
        running = (gid for gid, one in self.operations.items() if one["status"] == "RUNNING")
        return next(running, None)

    def _bulk_output(
        self,
        of_schema: GraphQLSchema,
        query: DocumentNode,
        reader: Reader,
        path: Path,
        is_grouped: bool,
    ) -> dict[str, str | None]:
        """Write an operation's output; how it ended."""
        field = bulk.root_field(of_schema, query)
        arguments = bulk.arguments_of(of_schema, field)
        kind = next((kind for kind in KINDS if f"{FIELD_OF[kind]}s" == field.name.value), None)
        if not kind:
            raise bulk.BulkError(f"the stand-in has no {field.name.value}")
        self._allow(kind, field.name.value)
        terms = self._terms(reader, kind, arguments.get("query"))
        pages = reader.pages(kind, terms, arguments["sortKey"], arguments["reverse"])
        output = bulk.write(of_schema, query, field, pages, reader, path, is_grouped)
        url = f"https://storage.googleapis.com/{OUTPUT}/{path.name}"
        return {
            "status": "COMPLETED",
            "url": url if output.size else None,
            "fileSize": str(output.size),
            "objectCount": str(output.objects),
            "rootObjectCount": str(output.roots),
        }


def _failed(code: str | None) -> dict[str, str]:
    return {"status": "FAILED", "errorCode": code or "INTERNAL_SERVER_ERROR"}


def _bulk_error(message: str, code: str) -> dict:
    error = {"field": ["query"], "message": message, "code": code}
    return {"bulkOperation": None, "userErrors": [error]}


@functools.lru_cache(maxsize=256)
def parsed(version: str, text: str) -> tuple[DocumentNode | None, list[dict]]:
    """A query, and why Shopify's schema of this version refuses it."""
    try:
        query = parse(text, no_location=False)
    except GraphQLSyntaxError as error:
        return None, [_formatted(error)]
    return query, [
        _formatted(error) for error in validate(schema.load(version), query, specified_rules)
    ]


def _formatted(error: GraphQLError) -> dict:
    return dict(error.formatted)


def _root_field(query: DocumentNode | None) -> str | None:
    for definition in query.definitions if query else ():
        if definition.kind == "operation_definition":
            for field in definition.selection_set.selections:
                if isinstance(field, FieldNode):
                    return field.name.value
    return None


def _place(query: DocumentNode | None, root: str | None) -> str:
    if root == "bulkOperationRunQuery":
        return "submit"
    is_poll = root == "currentBulkOperation" or (
        root == "node" and "gid://shopify/BulkOperation/" in query.loc.source.body
    )
    return "poll" if is_poll else "query"


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


def answer(body: Any, version: str | None = None, status: int = 200) -> Response:
    headers = {"X-Request-ID": secrets.token_hex(16)}
    if version:
        headers["X-Shopify-API-Version"] = version
    content = msgspec.json.encode(body)
    return Response(content, status, headers, "application/json; charset=utf-8")


def failure(status: str, headers: dict[str, str] | None = None) -> Response:
    response = answer({"errors": STATUS_TEXTS[status]}, status=int(status))
    response.headers.update(headers or {})
    return response


def _truncated(path: Path) -> Response:
    """Half a file under the whole one's length: the connection ends early."""
    content = path.read_bytes()
    length = {"Content-Length": str(len(content))}
    return StreamingResponse(iter([content[: len(content) // 2]]), headers=length)


def application(shop: Shop) -> Starlette:
    """The API of one shop; /sandbox/faults is the stand-in's own."""

    def answered(method):
        """A method of the shop, run in a thread, given the request and, if posted, its body."""

        async def endpoint(request: Request) -> Response:
            try:
                arguments = [request]
                if request.method == "POST":
                    arguments.append(msgspec.json.decode(await request.body()))
                return await run_in_threadpool(method, *arguments)
            except Refused as refusal:
                return refusal.response
            except msgspec.DecodeError:
                return answer({"errors": "Bad Request"}, status=400)

        return endpoint

    def faults(request: Request, body: dict | None = None) -> Response:
        if request.method == "DELETE":
            shop.faults.clear()
            shop.tokens.add(ACCESS_TOKEN)
            shop.is_revoked = False
        elif body:
            shop.faults.add(Fault(**body))
        return answer(shop.faults.show())

    return Starlette(
        routes=[
            Route("/admin/api/{version}/shop.json", answered(shop.shop_json)),
            Route("/admin/api/{version}/graphql.json", answered(shop.graphql), methods=["POST"]),
            Route("/admin/oauth/access_token", answered(shop.access_token), methods=["POST"]),
            Route(f"/{OUTPUT}/{{number:int}}.jsonl", answered(shop.download)),
            Route("/sandbox/faults", answered(faults), methods=["GET", "POST", "DELETE"]),
        ]
    )

"""What check finds in a shop, at the stand-in, and a warehouse that the real loader wrote."""

import datetime as dt
import io
import json
from contextlib import closing, redirect_stdout
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner
from headwater_reconcile import shopify, windows
from headwater_reconcile.cli import main
from headwater_sandbox.shopify import store
from headwater_sandbox.shopify.faults import KINDS
from headwater_sandbox.shopify.server import StandIn
from headwater_target_warehouse.duckdb import TargetDuckDB

# By stream: the kind of document, the list in it, and the time that the tap goes by.
STREAMS = {
    "orders": ("Order", None, "updatedAt"),
    "customers": ("Customer", None, "updatedAt"),
    "products": ("Product", None, "updatedAt"),
    "product_variants": ("ProductVariant", None, "updatedAt"),
    "transactions": ("Order", "transactions", "createdAt"),
    "order_refunds": ("Order", "refunds", "updatedAt"),
}
START = "2015-01-01T00:00:00Z"
TIME = {"type": "string", "format": "date-time"}
REFERENCE = {"type": "object", "properties": {"id": {"type": "string"}}}
SCHEMA = {"id": {"type": "string"}, "createdAt": TIME, "updatedAt": TIME, "order": REFERENCE}


class Loaded:
    """A shop, a warehouse that is loaded from it as the tap does it, and the command."""

    def __init__(self, stand_in: StandIn, folder: Path) -> None:
        self.stand_in, self.state = stand_in, {}
        self.path, self.state_file = folder / "headwater.duckdb", folder / "state.json"
        self.environment = {
            "DUCKDB_PATH": str(self.path),
            "MELTANO_PROJECT_ROOT": "",
            "MELTANO_RUN_ID": "",
            "NO_PROXY": "*",
            "no_proxy": "*",
            "POSTGRES_PORT": "1",
            "RECONCILE_MODES": "{}",
            "SANDBOX_DIR": str(stand_in.directory.parent),
            **dict.fromkeys(
                ("SHOPIFY_SHOP", "SHOPIFY_ACCESS_TOKEN", "SHOPIFY_CLIENT_ID", "SHOPIFY_API_KEY"), ""
            ),
        }

    def put(self, kind: str, number: int, changed: str, **fields: object) -> None:
        """Write a document; `changed`: when, such as 2026-03-01T10:00:00Z."""
        document = {"id": gid(kind, number), "createdAt": changed, "updatedAt": changed} | fields
        with self.stand_in.writing() as connection, connection:
            connection.execute(
                "insert or replace into documents values (?, ?, ?, ?, ?)",
                (kind, number, changed, changed, json.dumps(document)),
            )

    def remove(self, kind: str, *numbers: int) -> None:
        with self.stand_in.writing() as connection, connection:
            for number in numbers:
                connection.execute(
                    "delete from documents where kind = ? and number = ?", (kind, number)
                )

    def load(self, *streams: str, state: dict | None = None, rows: bool = True) -> None:
        """What a run of the tap brings from its bookmarks on; without `rows` it finds none."""
        state = self.state if state is None else state
        for stream in streams or STREAMS:
            kind, path, time = STREAMS[stream]
            bookmark = state.get(stream, {}).get(time, START)
            with closing(store.connect(self.stand_in.store)) as connection:
                documents = connection.execute(
                    "select document from documents where kind = ? and updated_at >= ?",
                    (kind, bookmark),
                ).fetchall()
            found = []
            for (text,) in documents if rows else ():
                document = json.loads(text)
                order = {"order": {"id": document["id"]}} if path else {}
                found += [row | order for row in (document.get(path, []) if path else [document])]
            found = [
                {name: row.get(name) for name in SCHEMA} for row in found if row[time] >= bookmark
            ]
            state[stream] = {time: max([bookmark, *(row[time] for row in found)])}
            messages = [
                {
                    "type": "SCHEMA",
                    "stream": stream,
                    "schema": {"properties": SCHEMA},
                    "key_properties": ["id"],
                    "bookmark_properties": [time],
                },
                *({"type": "RECORD", "stream": stream, "record": row} for row in found),
            ]
            config = {"path": str(self.path), "default_target_schema": "raw_shopify"}
            with redirect_stdout(io.StringIO()):
                lines = "".join(json.dumps(message) + "\n" for message in messages)
                TargetDuckDB(config=config).listen(io.StringIO(lines))
        if state is self.state:
            told = self.state | {"currently_sync_stream": "orders"}
            self.state_file.write_text(json.dumps({"bookmarks": told}))

    def check(self, **environment: str):
        return CliRunner().invoke(
            main,
            ["check", "--state", str(self.state_file)],
            env=self.environment | environment,
            prog_name="reconcile",
        )

    def sql(self, statement: str) -> list[tuple]:
        with duckdb.connect(str(self.path)) as connection:
            return connection.execute(statement).fetchall()

    def found(self, stream: str) -> dict[str, int | None]:
        (row,) = self.sql(
            "select source_rows, warehouse_rows, deleted, later, lost "
            f"from _headwater.reconciliations where stream = '{stream}' "
            "order by reconciled_at desc limit 1"
        )
        return dict(zip(("source", "warehouse", "deleted", "later", "lost"), row, strict=True))

    def fault(self, kind: str, **options: object) -> None:
        fault = {"kind": kind, "on": list(KINDS[kind][1])} | options
        self.stand_in.faults("POST", fault)


def gid(kind: str, number: int) -> str:
    return f"gid://shopify/{kind}/{number}"


def counts(source, warehouse, deleted=0, later=0, lost=0):
    return locals()


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory):
    with StandIn(tmp_path_factory.mktemp("sandbox") / "shopify", port=None) as stand_in:
        yield stand_in


@pytest.fixture
def shop(stand_in, tmp_path, monkeypatch):
    """Twelve customers, one a month of 2026, loaded."""
    monkeypatch.setattr(shopify.time, "sleep", lambda seconds: waited.append(seconds))
    waited: list[float] = []
    with stand_in.writing() as connection, connection:
        connection.execute("delete from documents")
    loaded = Loaded(stand_in, tmp_path)
    loaded.waited = waited
    for month in range(1, 13):
        loaded.put("Customer", month, f"2026-{month:02}-10T08:00:00Z")
    loaded.load("customers")
    yield loaded
    stand_in.faults("DELETE")


@pytest.fixture
def orders(shop):
    """Six orders, one a month, each with a payment and, a day after, a refund; loaded."""
    for month in range(1, 7):
        put_order(shop, month, f"2026-{month:02}-10T08:00:00Z")
    shop.load("orders", "transactions", "order_refunds")
    return shop


def put_order(shop, number, at):
    after = at.replace("10T", "11T")
    shop.put(
        "Order",
        number,
        after,
        transactions=[{"id": gid("OrderTransaction", number), "createdAt": at}],
        refunds=[{"id": gid("Refund", number), "createdAt": after, "updatedAt": after}],
    )


def repair(shop, result):
    """Do what the error says, as far as it is the tap's: read a stream from a time on."""
    line = next(line for line in result.stderr.splitlines() if "TAP_SHOPIFY_START_DATE=" in line)
    start = line.partition("TAP_SHOPIFY_START_DATE=")[2].split(" ")[0]
    (stream,) = json.loads(line.partition("SELECT_FILTER='")[2].partition("'")[0])
    command = "meltano run --full-refresh --state-id-suffix=repair tap-shopify lines-to-orders"
    assert f"{command} target-duckdb" in line
    shop.load(stream, state={stream: {STREAMS[stream][2]: start}})


def test_every_row_arrived(orders):
    result = orders.check()
    assert result.exit_code == 0, result.output
    assert orders.found("customers") == counts(12, 12)
    for stream in ("orders", "transactions", "order_refunds"):
        assert orders.found(stream) == counts(6, 6)
    assert "Every row arrived." in result.stdout
    assert orders.sql("select distinct mode, note from _headwater.reconciliations") == [
        ("exact", None)
    ]


@pytest.mark.parametrize("month", [1, 8, 11, 12])
def test_lost_row_is_named_and_the_repair_brings_it(shop, month):
    shop.put("Customer", 99, "2026-12-10T08:00:00Z")
    shop.load("customers")
    shop.sql(f"delete from raw_shopify.customers where id = '{gid('Customer', month)}'")
    bookmarks = shop.state_file.read_bytes()
    result = shop.check()
    if month == 12:  # its second is the bookmark's: the next read brings it
        assert result.exit_code == 0, result.output
        assert shop.found("customers") == counts(13, 12, later=1)
        return
    assert result.exit_code == 1
    assert shop.found("customers") == counts(13, 12, lost=1)
    assert result.stderr == (
        f"customers: 1 lost, of 2026-{month:02}-10 to 2026-{month:02}-10: id = {month}; "
        f"read it again: TAP_SHOPIFY_START_DATE=2026-{month:02}-10T08:00:00Z "
        "TAP_SHOPIFY__SELECT_FILTER='[\"customers\"]' meltano run --full-refresh "
        "--state-id-suffix=repair tap-shopify lines-to-orders target-duckdb\n"
    )
    repair(shop, result)
    assert shop.state_file.read_bytes() == bookmarks
    result = shop.check()
    assert result.exit_code == 0, result.output
    assert shop.found("customers") == counts(13, 13)


def test_change_that_was_missed_is_lost(shop):
    shop.put("Customer", 3, "2026-09-01T00:00:00Z")
    result = shop.check()
    assert result.exit_code == 1
    assert shop.found("customers") == counts(12, 12, lost=1)
    assert "1 lost, of 2026-09-01 to 2026-09-01: id = 3;" in result.stderr
    repair(shop, result)
    assert shop.check().exit_code == 0


def test_skipped_window_between_others(shop):
    shop.sql('delete from raw_shopify.customers where month("updatedAt") between 4 and 10')
    result = shop.check()
    assert "7 lost, of 2026-04-10 to 2026-10-10: id = 4, 5, 6, 7, 8, …;" in result.stderr
    assert shop.found("customers") == counts(12, 5, lost=7)
    repair(shop, result)
    assert shop.check().exit_code == 0


def test_read_that_brought_nothing_has_failed(orders):
    """So a THROTTLED poll ends: nothing was read, and the bookmark stays."""
    put_order(orders, 7, "2026-07-10T08:00:00Z")
    orders.load("orders", rows=False)
    assert orders.state["orders"] == {"updatedAt": "2026-06-11T08:00:00Z"}
    result = orders.check()
    assert result.exit_code == 1
    assert "orders: 1 lost, of 2026-07-11 to 2026-07-11: id = 7;" in result.stderr
    orders.load("orders")
    orders.load("transactions", "order_refunds")
    assert orders.check().exit_code == 0
    assert orders.found("orders") == counts(7, 7)


def test_first_read_that_brought_nothing(shop):
    for number in (1, 2, 3):
        put_order(shop, number, f"2026-0{number}-10T08:00:00Z")
    shop.load("orders", "transactions", rows=False)
    result = shop.check()
    assert result.exit_code == 1
    assert "orders: 3 lost, of 2026-01-11 to 2026-03-11: id = 1, 2, 3;" in result.stderr
    assert "transactions: 3 lost, of 2026-01-10 to 2026-03-10: id = 1, 2, 3;" in result.stderr
    repair(shop, result)
    assert shop.found("orders") == counts(3, 0, lost=3)
    assert "orders: " not in shop.check().stderr
    assert shop.found("orders") == counts(3, 3)


def test_empty_shop(shop):
    shop.load("orders", "transactions")
    assert shop.check().exit_code == 0
    assert shop.found("orders") == shop.found("transactions") == counts(0, 0)


def test_deleted_at_the_shop_is_marked(orders):
    orders.remove("Order", 2, 6)
    orders.remove("Customer", 5)
    result = orders.check()
    assert result.exit_code == 0, result.output
    assert orders.found("customers") == counts(11, 11, deleted=1)
    for stream in ("orders", "transactions", "order_refunds"):
        assert orders.found(stream) == counts(4, 4, deleted=2)
    marked = "where _sdc_deleted_at is not null order by id"
    assert orders.sql(f"select id from raw_shopify.transactions {marked}") == [
        (gid("OrderTransaction", 2),),
        (gid("OrderTransaction", 6),),
    ]
    assert orders.check().exit_code == 0
    assert orders.found("orders") == orders.found("order_refunds") == counts(4, 4)


@pytest.mark.parametrize("listed_rows", [windows.LISTED_ROWS, 0])
def test_loss_is_not_hidden_by_a_deletion_of_another_month(shop, monkeypatch, listed_rows):
    monkeypatch.setattr(windows, "LISTED_ROWS", listed_rows)
    shop.remove("Customer", 2)
    shop.sql(f"delete from raw_shopify.customers where id = '{gid('Customer', 7)}'")
    result = shop.check()
    assert shop.found("customers") == counts(11, 10, deleted=1, lost=1)
    assert "id = 7;" in result.stderr


def test_loss_is_not_hidden_by_a_deletion_of_the_same_month(shop):
    shop.put("Customer", 20, "2026-02-20T08:00:00Z")
    shop.load("customers", state={})
    shop.remove("Customer", 2)
    shop.sql(f"delete from raw_shopify.customers where id = '{gid('Customer', 20)}'")
    result = shop.check()
    assert shop.found("customers") == counts(12, 11, deleted=1, lost=1)
    assert "id = 20;" in result.stderr


def test_changes_after_the_read_are_later(orders):
    orders.put("Customer", 4, "2026-12-10T08:00:00Z")  # in the bookmark's own second
    orders.put("Customer", 13, "2026-12-20T08:00:00Z")
    orders.put("Customer", 1, "2026-12-21T08:00:00Z")
    put_order(orders, 7, "2026-07-10T08:00:00Z")
    result = orders.check()
    assert result.exit_code == 0, result.output
    assert orders.found("customers") == counts(13, 12, later=3)
    for stream in ("orders", "transactions", "order_refunds"):
        assert orders.found(stream) == counts(7, 6, later=1)
    orders.load()
    assert orders.check().exit_code == 0
    assert orders.found("customers") == counts(13, 13)


def test_change_between_two_questions_is_later(shop, monkeypatch):
    whole = shopify.Shop.counts

    def counted(self, kind, windows):
        shop.put("Customer", 2, "2026-12-31T00:00:00Z")
        return whole(self, kind, windows)

    monkeypatch.setattr(shopify.Shop, "counts", counted)
    result = shop.check()
    assert result.exit_code == 0, result.output
    assert shop.found("customers")["later"] == 1
    assert shop.found("customers")["lost"] == 0


@pytest.mark.parametrize("stream", ["transactions", "order_refunds"])
def test_lost_child_of_an_order(orders, stream):
    orders.sql(f"delete from raw_shopify.{stream} where id like '%/2'")
    result = orders.check()
    assert result.exit_code == 1
    assert orders.found(stream) == counts(6, 5, lost=1)
    assert f"{stream}: 1 lost, of 2026-02-1" in result.stderr
    repair(orders, result)
    assert orders.check().exit_code == 0


def test_window_looks_at_its_days_only(orders):
    orders.sql("delete from raw_shopify.transactions where id like '%/2'")
    modes = json.dumps({"transactions": {"window": 30}, "customers": {"window": 62}})
    result = orders.check(RECONCILE_MODES=modes)
    assert result.exit_code == 0, result.output
    assert orders.found("transactions") == counts(1, 1)
    assert orders.found("customers") == counts(3, 3)
    told = "Not compared whole: customers (window(62)), transactions (window(30))."
    assert told in result.stdout
    orders.sql("delete from raw_shopify.transactions where id like '%/6'")
    assert orders.check(RECONCILE_MODES=modes).exit_code == 0  # the bookmark's own second
    assert orders.found("transactions") == counts(1, 0, later=1)


def test_rows_before_the_start_date_are_not_looked_at(shop):
    shop.sql('delete from raw_shopify.customers where month("updatedAt") <= 3')
    assert shop.check(SHOPIFY_START_DATE="2026-04-01T00:00:00Z").exit_code == 0
    assert shop.found("customers") == counts(9, 9)


def test_off_asks_nothing(shop):
    shop.fault("500", times=0)
    assert shop.check(RECONCILE_MODES='{"*": "off"}').exit_code == 0
    assert shop.found("customers") == dict.fromkeys(counts(0, 0))


def test_more_rows_than_a_page(shop, monkeypatch):
    monkeypatch.setattr(shopify, "PAGE", 2)
    monkeypatch.setattr(shopify, "COUNTS_PER_QUERY", 3)
    for number in range(20, 27):
        shop.put("Customer", number, f"2026-12-1{number - 20}T09:00:00Z")
    assert shop.check().exit_code == 0
    assert shop.found("customers") == counts(19, 12, later=7)
    shop.load("customers")
    shop.sql("delete from raw_shopify.customers where id > 'gid://shopify/Customer/20'")
    assert shop.check().exit_code == 1
    assert shop.found("customers") == counts(19, 6, later=1, lost=12)


def test_version_that_is_no_longer_served(shop):
    assert shop.check().exit_code == 0
    shop.sql("alter table _headwater.reconciliations drop column note")  # as it once was
    shop.fault("retired", value="2026-04")
    result = shop.check()
    assert result.exit_code == 0, result.output
    told = "Shopify answers the API version 2025-07, which tap-shopify asks for, with 2026-04"
    assert told in " ".join(result.stdout.split())
    (*_, (note,)) = shop.sql("select note from _headwater.reconciliations order by reconciled_at")
    assert told in note
    told = CliRunner().invoke(main, ["summary"], env=shop.environment)
    assert "with 2026-04" in " ".join(told.stdout.split())


@pytest.mark.parametrize("kind", ["throttled", "429", "503", "html"])
def test_asks_again_and_not_without_end(shop, kind):
    shop.fault(kind, times=2)
    assert shop.check().exit_code == 0
    assert shop.found("customers") == counts(12, 12)
    assert len([seconds for seconds in shop.waited if seconds]) == 2
    shop.fault(kind, times=0)
    result = shop.check()
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert sum(shop.waited) < shopify.TRIES * shopify.MAX_WAIT_SECONDS
    assert "Every row arrived" not in result.stdout
    assert "Not reconciled: customers." in result.stdout


def test_waits_as_long_as_it_is_told(shop):
    shop.fault("429", times=1, value="7")
    assert shop.check().exit_code == 0
    assert 7.0 in shop.waited


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        (
            {"SHOPIFY_ACCESS_TOKEN": "secret-word"},
            "rainbow-sandbox.myshopify.com answers 401 Unauthorized; check SHOPIFY_ACCESS_TOKEN, "
            "or SHOPIFY_CLIENT_ID and SHOPIFY_CLIENT_SECRET",
        ),
        (
            {"SHOPIFY_CLIENT_ID": "rainbow-sandbox", "SHOPIFY_CLIENT_SECRET": "secret-word"},
            "rainbow-sandbox.myshopify.com gives the app no token (401); check ",
        ),
        ({"SANDBOX_DIR": "nowhere"}, "the sandbox's shop is down: run sandbox up"),
    ],
)
def test_shop_that_lets_nobody_in(orders, environment, told):
    result = orders.check(**environment)
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"customers, orders, order_refunds, transactions: {told}")
    assert "secret-word" not in result.output
    assert "Every row arrived" not in result.stdout
    assert orders.sql("select count(*) from _headwater.reconciliations where lost = 0") == [(0,)]


@pytest.mark.parametrize(
    ("kind", "told"),
    [("403", "answers 403 Forbidden; check SHOPIFY"), ("404", "Not Found; check SHOPIFY_SHOP")],
)
def test_refused_requests(shop, kind, told):
    shop.fault(kind, times=0)
    result = shop.check()
    assert result.exit_code == 1
    assert told in result.stderr
    assert shop.waited == [0.0]


def test_token_is_fetched_and_renewed(shop, stand_in):
    login = {"SHOPIFY_CLIENT_ID": "rainbow-sandbox", "SHOPIFY_CLIENT_SECRET": "rainbow-sandbox"}
    shop.fault("expired", after=2)
    result = shop.check(**login)
    assert result.exit_code == 0, result.output
    assert shop.found("customers") == counts(12, 12)


def test_missing_scope_is_told_and_nothing_is_marked(orders):
    """Without read_all_orders the shop shows the orders of 60 days, and the rest seem deleted."""
    orders.remove("Order", 1)
    orders.fault("missing-scope", value="read_all_orders")
    result = orders.check()
    assert result.exit_code == 1
    assert result.stderr == (
        "orders, order_refunds, transactions: "
        "rainbow-sandbox does not grant the app read_all_orders\n"
    )
    assert orders.found("customers") == counts(12, 12)
    assert orders.sql(
        "select count(*) from raw_shopify.orders where _sdc_deleted_at is not null"
    ) == [(0,)]


def test_state_without_a_bookmark(shop):
    shop.state_file.write_text(json.dumps({"bookmarks": {"orders": {"updatedAt": START}}}))
    result = shop.check()
    assert result.exit_code == 1
    first, second = result.stderr.splitlines()
    assert first.startswith("customers: the state has no bookmark of it; read it again: TAP_")
    assert second.startswith("orders: the state has read it, but the warehouse has not seen it; ")


def test_only_ids_and_times_are_asked_for(orders, monkeypatch):
    asked = []
    ask = shopify.Shop._ask

    def listen(self, query, variables=None):
        answer = ask(self, query, variables)
        asked.append((query, answer))
        return answer

    monkeypatch.setattr(shopify.Shop, "_ask", listen)
    orders.sql("delete from raw_shopify.customers where id like '%/3'")
    orders.check()
    names: set[str] = set()

    def look(value):
        if isinstance(value, dict):
            names.update(value)
            value = list(value.values())
        for item in value if isinstance(value, list) else ():
            look(item)

    look([answer for _, answer in asked])
    names = {name for name in names if not name.startswith("w")}
    assert names == {
        *("currentAppInstallation", "accessScopes", "handle"),
        *("page", "nodes", "pageInfo", "hasNextPage", "endCursor", "count", "precision"),
        *("id", "updatedAt", "createdAt", "transactions", "refunds"),
    }


def test_times_are_read_as_utc():
    expected = dt.datetime(2026, 6, 30, 5, tzinfo=dt.UTC)
    for text in ("2026-06-30T05:00:00Z", "2026-06-30T12:00:00.000000+07:00", "2026-06-30 05:00:00"):
        assert shopify.parsed(text) == expected

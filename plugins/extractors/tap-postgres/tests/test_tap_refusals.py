"""What the tap refuses, in one line, with nothing written and no secret in it."""

import json

import pytest
from headwater_tap_postgres.tap import Refusal

pytestmark = pytest.mark.usefixtures("shop")

LOSSY = "such rows would be lost: make the column NOT NULL, choose another one, or use FULL_TABLE"


@pytest.fixture
def orders(execute):
    execute("""
        create table shop.orders (
            id integer primary key, updated_at timestamptz, created_at timestamptz not null
        );
        insert into shop.orders values (1, now(), now());
        create view shop.recent as select * from shop.orders
    """)


def refusal(sync, *arguments, **config):
    with pytest.raises(Refusal) as raised:
        sync(*arguments, **config)
    assert raised.value.recorder.lines == []
    return str(raised.value)


@pytest.mark.parametrize("stream", ["shop-orders", "shop-recent"])
def test_a_replication_key_that_can_be_null(orders, discover, sync, stream):
    catalog = discover(stream, replication_method="INCREMENTAL", replication_key="updated_at")
    assert refusal(sync, catalog, {"shop-orders": {"snapshot": "1:1:"}}) == (
        f"the replication key updated_at of {stream} can be null, and {LOSSY}"
    )


def test_a_replication_key_that_does_not_exist(orders, discover, sync):
    catalog = discover("shop-orders", replication_method="INCREMENTAL", replication_key="changed")
    assert refusal(sync, catalog) == (
        "shop-orders has no column changed, which is its replication key"
    )


def test_a_replication_key_that_is_not_selected(orders, discover, sync):
    catalog = discover(
        "shop-orders", replication_method="INCREMENTAL", replication_key="created_at"
    )
    orders_entry = next(s for s in catalog["streams"] if s["tap_stream_id"] == "shop-orders")
    for item in orders_entry["metadata"]:
        if item["breadcrumb"] == ["properties", "created_at"]:
            item["metadata"]["selected"] = False
    assert refusal(sync, catalog) == (
        "shop-orders is selected without created_at, which is its replication key"
    )


def test_incremental_without_a_replication_key(orders, discover, sync):
    catalog = discover("shop-orders", replication_method="INCREMENTAL")
    assert refusal(sync, catalog) == "shop-orders is INCREMENTAL and has no replication key"


def test_a_nullable_key_is_no_matter_in_a_full_table(orders, discover, sync):
    catalog = discover("shop-orders", replication_method="FULL_TABLE", replication_key="updated_at")
    assert len(sync(catalog).of("RECORD")) == 1


def test_a_table_that_is_gone_and_a_column_that_is_gone(orders, execute, discover, sync):
    execute("create table shop.lines (a integer, b integer, primary key (a, b))")
    catalog = discover("shop-lines", "shop-orders", "shop-recent")
    execute("drop view shop.recent; drop table shop.orders; alter table shop.lines drop column b")
    assert refusal(sync, catalog) == (
        "shop-lines has no column b, which is its key; "
        "shop-orders is selected, but the database has no such table or view; "
        "shop-recent is selected, but the database has no such table or view"
    )


def test_a_log_based_stream_with_bytes(execute, discover, sync):
    execute("create table shop.files (id integer primary key, content bytea)")
    catalog = discover("shop-files", replication_method="LOG_BASED")
    assert refusal(sync, catalog) == (
        "shop-files has bytea columns, which LOG_BASED would read as text"
    )


@pytest.mark.parametrize(
    ("patterns", "unmatched"),
    [
        (["shop-orders.*", "*.*", "shop-*.id", "shop-orders", "!shop-none.*"], None),
        (["shop-order.*"], "shop-order.*"),
        (["shop-orders.nothing"], "shop-orders.nothing"),
        (["shop-orders.*", "lana-*.id"], "lana-*.id"),
        ([r"shop\.orders.*"], r"shop\.orders.*"),
        ([r"shop-dotted\.name.*"], None),
    ],
)
def test_a_select_pattern_that_matches_nothing(
    orders, execute, discover, sync, monkeypatch, patterns, unmatched
):
    execute('create table shop."dotted.name" (id integer primary key)')
    monkeypatch.setenv("TAP_POSTGRES__SELECT", json.dumps(patterns))
    catalog = discover("shop-orders")
    if unmatched is None:
        assert len(sync(catalog).of("RECORD")) == 1
    else:
        assert refusal(sync, catalog) == (
            f"the select pattern {unmatched} matches no column of any table"
        )


def errors(done):
    """The lines of stderr that are not information; checks what holds for each failure."""
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if "| INFO " not in line]
    return [line.split("|", 3)[-1].strip() for line in lines]


CHECK = "(check POSTGRES_HOST, _PORT, _USER, _PASSWORD and _DB)"


@pytest.mark.parametrize("arguments", [["--discover"], []])
@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"password": "s3cret"}, 'FATAL: password authentication failed for user "headwater"'),
        ({"port": 1}, "Connection refused"),
        ({"database": "none"}, 'FATAL: database "none" does not exist'),
        ({"password": None, "host": None}, "set host, password of tap-postgres"),
    ],
)
def test_a_connection_that_cannot_be_made(run, arguments, config, message):
    done = run(*arguments, **config)
    (line,) = errors(done)
    assert message in line
    assert line.startswith("Error: set ") or line.endswith(CHECK)
    assert "s3cret" not in done.stderr
    assert done.stdout == ""


def test_a_refusal_by_the_executable(orders, discover, run):
    select = {"TAP_POSTGRES__SELECT": '["shop-orders.*", "shop-lost.*"]'}
    done = run(catalog=discover("shop-orders"), environment=select)
    assert errors(done) == ["Error: the select pattern shop-lost.* matches no column of any table"]
    assert done.stdout == ""


def test_a_table_without_permission(orders, execute, discover, run):
    catalog = discover("shop-orders")
    execute("revoke all on shop.orders from headwater")
    done = run(catalog=catalog)
    assert errors(done) == [
        "An unhandled error occurred while syncing 'shop-orders'",
        "Error: shop-orders: permission denied for table orders",
    ]
    kinds = [json.loads(line)["type"] for line in done.stdout.splitlines()]
    assert kinds == ["SCHEMA", "ACTIVATE_VERSION"]


def test_the_traceback_is_for_the_debug_level(run):
    done = run("--discover", password="s3cret", environment={"TAP_POSTGRES_LOGLEVEL": "DEBUG"})
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "s3cret" not in done.stderr

"""What check finds, on a real server and a warehouse that the real loader wrote."""

import datetime as dt
import json
import subprocess
import sys
import threading
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner
from headwater_reconcile.cli import main

ROWS = {"id": "bigint primary key", "name": "text", "updated_at": "timestamptz not null"}


@pytest.fixture
def orders(pipeline):
    """Ten loaded orders, a minute apart."""
    pipeline.create("orders", ROWS, ["id"])
    pipeline.source.execute(
        "insert into shop.orders select i, 'n' || i, "
        "timestamptz '2026-01-01 00:00:00.000001Z' + i * interval '1 minute' "
        "from generate_series(1, 10) i"
    )
    pipeline.load()
    return pipeline


def counts(source, warehouse, deleted=0, later=0, lost=0):
    return locals()


def test_all_rows_arrived(orders):
    result = orders.check()
    assert result.exit_code == 0, result.output
    assert orders.found("orders") == counts(10, 10)
    assert "Every row arrived." in result.stdout
    ((run, mode, bookmark),) = orders.sql(
        "select run_id, mode, bookmark from _headwater.reconciliations"
    )
    assert (mode, bookmark) == ("exact", "2026-01-01T00:10:00.000001+00:00")
    assert [(run,)] == orders.sql("select distinct run_id from _headwater.loads")
    assert orders.sql(
        "select count(*) from duckdb_tables() where table_name = 'reconcile_keys'"
    ) == [(0,)]


def test_lost_row_is_red_and_named(orders):
    orders.sql("delete from raw_shop.orders where id in (3, 4)")
    result = orders.check()
    assert result.exit_code == 1
    assert orders.found("orders") == counts(10, 8, lost=2)
    assert result.stderr == (
        "shop-orders: 2 lost: id = 3, 4; read it again: "
        "TAP_POSTGRES__SELECT_FILTER='[\"shop-orders\"]' "
        "meltano run --full-refresh tap-postgres target-duckdb\n"
    )


def test_at_most_five_keys_are_named(orders):
    orders.sql("delete from raw_shop.orders where id > 2")
    assert "8 lost: id = 3, 4, 5, 6, 7, …;" in orders.check().stderr


@pytest.mark.parametrize("shift", ["- interval 1 microsecond", "+ interval 1 microsecond"])
def test_stale_row_is_lost(orders, shift):
    orders.sql(f"update raw_shop.orders set updated_at = updated_at {shift} where id = 7")
    result = orders.check()
    assert result.exit_code == 1
    assert "1 lost: id = 7;" in result.stderr
    assert orders.found("orders") == counts(10, 10, lost=1)


def test_row_marked_deleted_but_present_is_lost(orders):
    orders.sql("update raw_shop.orders set _sdc_deleted_at = now() where id = 5")
    assert orders.check().exit_code == 1
    assert orders.found("orders") == counts(10, 9, lost=1)


def test_deleted_row_is_marked_and_only_that(orders):
    before = dt.datetime.now(dt.UTC).replace(tzinfo=None)
    orders.source.execute("delete from shop.orders where id in (2, 9)")
    result = orders.check()
    assert result.exit_code == 0, result.output
    assert orders.found("orders") == counts(8, 8, deleted=2)
    marked = orders.sql(
        "select id, _sdc_deleted_at from raw_shop.orders "
        "where _sdc_deleted_at is not null order by id"
    )
    assert [key for key, _ in marked] == [2, 9]
    assert all(before <= at <= before + dt.timedelta(minutes=5) for _, at in marked)
    assert orders.check().exit_code == 0
    assert orders.found("orders") == counts(8, 8)


def test_deleted_and_inserted_again_is_live_again(orders):
    orders.source.execute("delete from shop.orders where id = 2")
    assert orders.check().exit_code == 0
    orders.source.execute("insert into shop.orders values (2, 'again', '2026-01-02Z')")
    assert orders.check().exit_code == 0
    assert orders.found("orders") == counts(10, 9, later=1)
    orders.load(since="2026-01-01 00:10Z")
    assert orders.check().exit_code == 0
    assert orders.found("orders") == counts(10, 10)


def test_changes_after_the_read_are_later(orders):
    orders.source.execute("update shop.orders set updated_at = '2026-02-01Z' where id = 1")
    orders.source.execute("insert into shop.orders values (11, 'new', '2026-02-01Z')")
    # Its value is in the past: only its transaction tells that it came after the read.
    orders.source.execute("insert into shop.orders values (12, 'backdated', '2025-01-01Z')")
    assert orders.check().exit_code == 0
    assert orders.found("orders") == counts(12, 10, later=3)


@pytest.mark.parametrize("savepoint", [False, True])
def test_late_commit_within_the_overlap(orders, savepoint):
    with psycopg.connect(orders.server.dsn) as late:
        late.execute("select pg_current_xact_id()")
        if savepoint:
            late.execute("savepoint a")
        late.execute("insert into shop.orders values (11, 'late', '2026-01-01 00:09:30Z')")
        # Others commit meanwhile: the read sees ids above the late one's.
        orders.source.execute("insert into shop.orders values (12, 'on time', '2026-01-01 00:11Z')")
        orders.load()
        late.commit()
    assert orders.check().exit_code == 0
    assert orders.found("orders") == counts(12, 11, later=1)
    orders.load(since="2026-01-01 00:09Z")
    assert orders.check().exit_code == 0
    assert orders.found("orders") == counts(12, 12)


def test_late_commit_older_than_the_overlap_is_red_after_the_next_read(orders):
    with psycopg.connect(orders.server.dsn) as late:
        late.execute("insert into shop.orders values (11, 'late', '2026-01-01 00:00:30Z')")
        orders.load()
        late.commit()
    assert orders.check().exit_code == 0
    orders.load(since="2026-01-01 00:09Z")
    result = orders.check()
    assert result.exit_code == 1
    assert "1 lost: id = 11;" in result.stderr


def test_rolled_back_rows_are_neither_here_nor_there(orders):
    with psycopg.connect(orders.server.dsn) as other:
        other.execute("insert into shop.orders values (11, 'never', '2026-01-01 00:00:30Z')")
        orders.load()
        other.rollback()
    assert orders.check().exit_code == 0
    assert orders.found("orders") == counts(10, 10)


def test_full_table_compares_keys_only(pipeline):
    pipeline.create("categories", {"id": "bigint primary key", "name": "text"}, ["id"], None)
    pipeline.source.execute("insert into shop.categories values (1, 'a'), (2, 'b'), (3, 'c')")
    pipeline.load()
    pipeline.source.execute("insert into shop.categories values (4, 'd')")
    pipeline.source.execute("update shop.categories set name = 'x' where id = 1")
    assert pipeline.check().exit_code == 0
    assert pipeline.found("categories") == counts(4, 3, later=1)
    pipeline.sql("delete from raw_shop.categories where id = 2")
    assert pipeline.check().exit_code == 1
    assert pipeline.found("categories") == counts(4, 2, later=1, lost=1)


def test_view_has_only_its_bookmark(orders):
    orders.source.execute("create view shop.v as select * from shop.orders")
    orders.keys["v"] = (ROWS, ["id"], "updated_at")
    orders.load("v")
    orders.source.execute("insert into shop.orders values (11, 'new', '2026-02-01Z')")
    assert orders.check().exit_code == 0
    assert orders.found("v") == counts(11, 10, later=1)


def test_partitioned_table(pipeline):
    columns = {"id": "bigint", "updated_at": "timestamptz"}
    pipeline.source.execute(
        "create table shop.parts (id bigint, updated_at timestamptz not null) "
        "partition by range (id); "
        "create table shop.parts_1 partition of shop.parts for values from (0) to (10); "
        "create table shop.parts_2 (updated_at timestamptz not null, id bigint); "
        "alter table shop.parts attach partition shop.parts_2 for values from (10) to (20); "
        "insert into shop.parts select i, '2026-01-01Z' from generate_series(1, 19) i"
    )
    pipeline.keys["parts"] = (columns, ["id"], "updated_at")
    pipeline.load()
    pipeline.source.execute("delete from shop.parts where id = 12")
    pipeline.source.execute("insert into shop.parts values (12, '2025-12-31Z')")
    assert pipeline.check().exit_code == 0
    assert pipeline.found("parts") == counts(19, 19, later=1)


def test_table_without_keys_compares_numbers(pipeline):
    pipeline.create("log", {"line": "text"}, [], None)
    pipeline.source.execute("insert into shop.log values ('a'), ('a'), ('b')")
    pipeline.load()
    pipeline.source.execute("insert into shop.log values ('later')")
    assert pipeline.check().exit_code == 0
    assert pipeline.found("log") == counts(4, 3, later=1)
    pipeline.sql("delete from raw_shop.log where line = 'b'")
    result = pipeline.check()
    assert result.exit_code == 1
    assert "shop-log: 1 lost;" in result.stderr
    assert pipeline.found("log") == counts(4, 2, later=1, lost=1)


def test_composite_keys(pipeline):
    columns = {"order_id": "bigint", "product_id": "text", "updated_at": "timestamp not null"}
    pipeline.create("details", columns, ["order_id", "product_id"])
    pipeline.source.execute(
        "insert into shop.details select i % 3, 'p' || i, '2026-01-01 10:00' "
        "from generate_series(1, 9) i"
    )
    pipeline.load()
    pipeline.source.execute("delete from shop.details where product_id = 'p4'")
    assert pipeline.check().exit_code == 0
    assert pipeline.found("details") == counts(8, 8, deleted=1)
    pipeline.sql("delete from raw_shop.details where order_id = 2")
    assert "3 lost: (order_id, product_id) = (2, p2), (2, p5), (2, p8);" in pipeline.check().stderr


@pytest.mark.parametrize(
    ("type_", "values"),
    [
        ("text", ["", " ", 'quo"te', "back\\slash", "a,b", "two\nlines", "Đặng 🙂", "NULL", "\\N"]),
        ("char(4)", ["ab", "abcd"]),
        ("uuid", ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]),
        ("numeric(12,4)", ["12345678.1234", "-0.0001", "7"]),
        ("date", ["2026-01-01", "0001-01-01", "9999-12-31"]),
        ("timestamptz", ["2026-01-01 00:00:00.000001+07", "1900-01-01Z"]),
        ("timestamp", ["2026-01-01 00:00:00.000001", "1900-01-01"]),
        ("boolean", ["true", "false"]),
    ],
)
def test_key_types(pipeline, type_, values):
    pipeline.create("keyed", {"k": type_ + " primary key", "v": "bigint"}, ["k"], "v")
    for number, value in enumerate(values):
        pipeline.source.execute(f"insert into shop.keyed values (%s::{type_}, %s)", [value, number])
    pipeline.load()
    result = pipeline.check()
    assert result.exit_code == 0, result.output
    assert pipeline.found("keyed") == counts(len(values), len(values))


def test_binary_key(pipeline):
    pipeline.create("blobs", {"k": "bytea primary key"}, ["k"], None)
    pipeline.source.execute(r"insert into shop.blobs values ('\x00ff'), ('\x')")
    pipeline.load("blobs", where="false")
    message = {"type": "RECORD", "stream": "shop-blobs", "record": {"k": "AP8="}}
    schema = {
        "type": "SCHEMA",
        "stream": "shop-blobs",
        "schema": {"properties": {"k": {"type": "string", "contentEncoding": "base64"}}},
        "key_properties": ["k"],
    }
    pipeline.send([schema, message])
    assert pipeline.check().exit_code == 1
    assert pipeline.found("blobs") == counts(2, 1, lost=1)


def test_integer_date_and_text_replication_keys(pipeline):
    for table, type_, value in (
        ("a", "bigint", str(2**62)),
        ("b", "date", "2026-03-01"),
        ("c", "text", "v2"),
    ):
        pipeline.create(table, {"id": "bigint primary key", "v": type_}, ["id"], "v")
        pipeline.source.execute(f"insert into shop.{table} values (1, %s), (2, %s)", [value, value])
    pipeline.load()
    assert pipeline.check().exit_code == 0
    pipeline.sql("update raw_shop.a set v = v - 1 where id = 1")
    pipeline.sql("update raw_shop.b set v = '2026-02-28' where id = 1")
    pipeline.sql("update raw_shop.c set v = 'v1' where id = 1")
    result = pipeline.check()
    assert result.exit_code == 1
    assert [pipeline.found(t)["lost"] for t in "abc"] == [1, 1, 1]


def test_stream_that_never_had_a_row(pipeline):
    pipeline.create("empty", ROWS, ["id"])
    pipeline.load()
    pipeline.source.execute("insert into shop.empty values (1, 'first', '2020-01-01Z')")
    assert pipeline.check().exit_code == 0
    assert pipeline.found("empty") == counts(1, 0, later=1)


@pytest.fixture
def month(pipeline):
    """Thirty rows, a day apart, loaded."""
    pipeline.create("month", ROWS, ["id"])
    pipeline.source.execute(
        "insert into shop.month select i, 'n', timestamptz '2026-01-01Z' + i * interval '1 day' "
        "from generate_series(1, 30) i"
    )
    pipeline.load()
    pipeline.environment["RECONCILE_MODES"] = '{"shop-m*": {"window": 7}, "*": "off"}'
    return pipeline


def test_window_sees_only_its_days(month):
    month.sql("delete from raw_shop.month where id = 10")
    month.source.execute("delete from shop.month where id in (11, 25)")
    result = month.check()
    assert result.exit_code == 0, result.output
    assert month.found("month") == counts(7, 7, deleted=1)
    assert month.sql("select id from raw_shop.month where _sdc_deleted_at is not null") == [(25,)]
    month.sql("delete from raw_shop.month where id = 26")
    assert month.check().exit_code == 1
    assert month.found("month") == counts(7, 6, lost=1)


def test_window_does_not_mark_a_row_whose_value_moved_back(month):
    month.source.execute("update shop.month set updated_at = '2020-01-01Z' where id = 25")
    assert month.check().exit_code == 0
    assert month.found("month") == counts(8, 8, later=1)
    assert month.sql("select count(*) from raw_shop.month where _sdc_deleted_at is not null") == [
        (0,)
    ]


def test_window_finds_a_row_that_moved_into_it(month):
    month.sql("update raw_shop.month set updated_at = '2020-01-01' where id = 29")
    assert month.check().exit_code == 1
    assert "1 lost: id = 29;" in month.check().stderr


@pytest.mark.parametrize("days", [7, 20])
def test_rows_before_the_start_date_are_not_looked_at(month, days):
    month.sql("delete from raw_shop.month where id < 20")
    modes = json.dumps({"*": {"window": days}})
    environment = {"RECONCILE_MODES": modes, "TAP_POSTGRES_START_DATE": "2026-01-21T00:00:00Z"}
    assert month.check(**environment).exit_code == 0
    assert month.found("month") == counts(min(days + 1, 11), min(days + 1, 11))
    assert month.check(**environment | {"RECONCILE_MODES": "{}"}).exit_code == 0
    assert month.found("month") == counts(11, 11)
    assert month.check(RECONCILE_MODES="{}").exit_code == 1


def test_window_needs_a_time(pipeline):
    pipeline.create("n", {"id": "bigint primary key", "v": "bigint"}, ["id"], "v")
    pipeline.source.execute("insert into shop.n values (1, 1)")
    pipeline.load()
    result = pipeline.check(RECONCILE_MODES='{"*": {"window": 7}}')
    assert result.exit_code == 1
    assert "shop-n: a window needs a replication key that is a date or time" in result.stderr


def test_off_compares_nothing(orders):
    orders.sql("delete from raw_shop.orders")
    result = orders.check(RECONCILE_MODES='{"shop-orders": "off", "shop-*": "exact"}')
    assert result.exit_code == 0
    assert "Not compared whole: shop-orders (off)." in result.stdout
    assert orders.check(RECONCILE_MODES='{"shop-*": "exact", "*": "off"}').exit_code == 1


@pytest.mark.parametrize("modes", ["[]", "{", '{"*": "some"}', '{"*": {"window": 0}}', "1"])
def test_modes_that_mean_nothing_are_refused(orders, modes):
    result = orders.check(RECONCILE_MODES=modes)
    assert result.exit_code == 2
    assert "Invalid value for '--modes'" in result.stderr


def test_another_source_is_left_out(orders):
    orders.send(
        [
            {
                "type": "SCHEMA",
                "stream": "shopify-orders",
                "schema": {"properties": {"id": {"type": "string"}}},
                "key_properties": ["id"],
            }
        ]
    )
    assert orders.check().exit_code == 0
    assert orders.sql("select stream from _headwater.reconciliations") == [("shop-orders",)]


def test_emptied_warehouse(orders):
    orders.sql("delete from raw_shop.orders")
    result = orders.check()
    assert result.exit_code == 1
    assert orders.found("orders") == counts(10, 0, lost=10)
    assert "--full-refresh" in result.stderr
    orders.sql("drop table raw_shop.orders")
    result = orders.check()
    assert result.exit_code == 1
    assert "shop-orders: the warehouse has no table raw_shop.orders; read it" in result.stderr
    orders.sql("delete from _headwater.streams")
    result = orders.check()
    assert result.exit_code == 1
    assert "shop-orders: the state has read it, but the warehouse has not seen it" in result.stderr
    orders.path.unlink()
    result = orders.check()
    assert result.exit_code == 1
    assert "is empty, and the state is not" in result.stderr
    assert "--full-refresh" in result.stderr
    assert not orders.path.exists()


def test_state_that_does_not_know_the_stream(orders):
    orders.state_file.write_text(json.dumps({"bookmarks": {"shop-other": {}}}))
    result = orders.check()
    assert result.exit_code == 1
    assert "shop-orders: the state has no bookmark of it; read it again" in result.stderr


def test_state_of_an_unfinished_first_read(orders):
    del orders.state["shop-orders"]["snapshot"]
    orders.state["shop-orders"]["starting_replication_value"] = None
    orders.send([])
    result = orders.check()
    assert result.exit_code == 1
    assert "shop-orders: its first read has not been completed" in result.stderr


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"bookmarks": {"a": 1}}'])
def test_no_usable_state(orders, text):
    orders.state_file.write_text(text)
    result = orders.check()
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: the state ")
    assert result.stderr.count("\n") == 1


@pytest.fixture
def meltano(orders, monkeypatch):
    """A program that answers as `meltano state get` does, once it is written."""
    monkeypatch.setattr("sys.executable", str(orders.folder / "python"))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")

    def write(script):
        (orders.folder / "meltano").write_text(f"#!/bin/sh\n{script}\n")
        (orders.folder / "meltano").chmod(0o755)

    return write


@pytest.mark.parametrize(
    ("environment", "state_id"),
    [
        ({"MELTANO_ENVIRONMENT": "prod"}, "prod:tap-postgres-to-target-duckdb"),
        ({"RECONCILE_STATE_ID": "dev:a-to-b:mine"}, "dev:a-to-b:mine"),
    ],
)
def test_state_comes_from_meltano(orders, meltano, environment, state_id):
    meltano(f'echo "log line" >&2; [ "$*" = "state get {state_id}" ] && cat {orders.state_file}')
    result = CliRunner().invoke(main, ["check"], env=orders.environment | environment)
    assert result.exit_code == 0, result.output
    assert orders.found("orders") == counts(10, 10)


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("echo starting >&2; echo 'No project here' >&2; exit 1", "failed: No project here\n"),
        ("echo '{}'", "has no bookmarks: load first, by meltano run tap-postgres target-duckdb\n"),
        (None, "meltano is neither beside this Python nor on PATH: pass --state\n"),
    ],
)
def test_meltano_without_a_state(orders, meltano, script, told):
    if script:
        meltano(script)
    result = CliRunner().invoke(main, ["check"], env=orders.environment)
    assert result.exit_code == 1
    assert result.stderr.endswith(told)
    assert result.stderr.count("\n") == 1


def test_table_gone_at_the_source(orders):
    orders.source.execute("alter table shop.orders rename to moved")
    result = orders.check()
    assert result.exit_code == 1
    assert "shop-orders: the source has no such table any more" in result.stderr
    assert orders.sql("select count(*) from raw_shop.orders where _sdc_deleted_at is null") == [
        (10,)
    ]


def test_value_that_stops_a_read_in_the_middle(orders, monkeypatch):
    """The stream is named, and those after it are compared all the same."""
    monkeypatch.setattr("headwater_reconcile.source.BLOCK_BYTES", 1000)
    orders.source.execute("create table shop.payments (like shop.orders including all)")
    orders.keys["payments"] = (ROWS, ["id"], "updated_at")
    orders.load("payments")
    orders.source.execute(
        "insert into shop.orders values (0, 'n', 'infinity'); "
        "insert into shop.orders select i, 'n', '2025-01-01Z' from generate_series(11, 50000) i"
    )
    result = orders.check()
    assert result.exit_code == 1
    assert "shop-orders: a key or replication value does not fit:" in result.stderr
    assert result.stderr.count("\n") == 1
    assert orders.found("payments") == counts(0, 0)


def test_permission_denied(orders):
    orders.source.execute("create role reader login password 'secret-word'")
    try:
        result = orders.check(POSTGRES_USER="reader", POSTGRES_PASSWORD="secret-word")
    finally:
        orders.source.execute("drop role reader")
    assert result.exit_code == 1
    assert result.stderr == "shop-orders: permission denied for schema shop\n"


@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [
        ("POSTGRES_PASSWORD", "secret-word", "password authentication failed"),
        ("POSTGRES_PORT", "1", "Connection refused"),
        ("POSTGRES_DB", "nowhere", 'database "nowhere" does not exist'),
    ],
)
def test_server_that_cannot_be_read(orders, setting, value, told):
    result = orders.check(**{setting: value})
    assert result.exit_code == 1
    assert told in result.stderr
    assert "secret-word" not in result.output
    assert result.stderr.count("\n") == 1


def test_warehouse_held_by_another_process(orders, in_background):
    holder = in_background(
        "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('held', flush=True); input()",
        orders.path,
    )
    assert holder.stdout.readline() == "held\n"
    result = orders.check(RECONCILE_LOCK_TIMEOUT_SECONDS="0")
    assert result.exit_code == 1
    assert "is held by" in result.stderr.splitlines()[-1]


def test_real_tap_with_a_writer_throughout(orders):
    """Rows come, change and go while tap, loader and reconcile work; nothing is ever red."""
    source, folder = orders.source, orders.folder
    source.execute("drop table shop.orders")
    orders.path.unlink()
    orders.state_file.unlink()
    source.execute(
        "create table shop.orders "
        "(id bigint primary key, name text, updated_at timestamptz not null default now()); "
        "insert into shop.orders select i, 'n' from generate_series(1, 3000) i"
    )
    config = folder / "tap.json"
    config.write_text(
        json.dumps(
            {
                "host": orders.server.host,
                "port": orders.server.port,
                "user": orders.server.user,
                "password": orders.server.password,
                "database": orders.server.database,
                "filter_schemas": ["shop"],
            }
        )
    )
    target = folder / "target.json"
    target.write_text(json.dumps({"path": str(orders.path)}))
    bin_ = Path(sys.executable).parent
    tap = [bin_ / "headwater-tap-postgres", "--config", config]
    found = subprocess.run([*tap, "--discover"], capture_output=True, check=True).stdout
    catalog = json.loads(found)
    for stream in catalog["streams"]:
        stream["replication_method"], stream["replication_key"] = "INCREMENTAL", "updated_at"
        for entry in stream["metadata"]:
            if not entry["breadcrumb"]:
                entry["metadata"] |= {
                    "selected": True,
                    "replication-method": "INCREMENTAL",
                    "replication-key": "updated_at",
                }
    (folder / "catalog.json").write_text(json.dumps(catalog))
    stop = threading.Event()
    failures = []

    def load():
        state = ["--state", orders.state_file] if orders.state_file.exists() else []
        read = subprocess.run(
            [*tap, "--catalog", folder / "catalog.json", *state], stdout=subprocess.PIPE, check=True
        ).stdout
        loaded = subprocess.run(
            [bin_ / "target-duckdb", "--config", target],
            input=read,
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
        orders.state_file.write_bytes(loaded.splitlines()[-1])

    def write():
        number = 3000
        try:
            with psycopg.connect(orders.server.dsn) as writer:
                while not stop.is_set():
                    number += 1
                    writer.execute("insert into shop.orders values (%s, 'w')", [number])
                    with writer.transaction():
                        writer.execute(
                            "update shop.orders set name = 'u', updated_at = now() where id = %s",
                            [number % 2000],
                        )
                    if number % 5 == 0:
                        writer.execute("delete from shop.orders where id = %s", [number // 2])
                    writer.commit()
        except psycopg.Error as error:
            failures.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(2):
            load()
            result = orders.check()
            assert result.exit_code == 0, result.output
            found = orders.found("orders")
            assert found["later"] > 0
            assert found["deleted"] > 0
    finally:
        stop.set()
        writer.join()
    assert not failures
    # With the writer gone, one more round leaves nothing open.
    load()
    assert orders.check().exit_code == 0
    (total, newest) = source.execute("select count(*), max(id) from shop.orders").fetchone()
    assert orders.found("orders")["later"] == 0
    assert orders.found("orders")["source"] == orders.found("orders")["warehouse"] == total
    orders.sql(f"delete from raw_shop.orders where id = {newest}")
    assert f"1 lost: id = {newest};" in orders.check().stderr

"""kill -9 at every step of a bulk load: the next run ends as if there had been none."""

import datetime as dt
import json
import os
import shlex
import subprocess
import sys
import time

import pytest
from headwater_tap_postgres.tap import TapPostgres

pytestmark = pytest.mark.usefixtures("shop")

# Runs a command that kills itself before, or after, the nth call of one of its functions.
MORTAL = """
import os, signal, sys
from pkgutil import resolve_name
command, owner, name, moment, number = sys.argv[1:6]
sys.argv[1:] = sys.argv[6:]
called, calls = getattr(resolve_name(owner), name), []

def mortal(*arguments, **options):
    calls.append(name)
    dies = len(calls) == int(number)
    if dies and moment == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    result = called(*arguments, **options)
    if dies:
        os.kill(os.getpid(), signal.SIGKILL)
    return result

setattr(resolve_name(owner), name, mortal)
resolve_name(command).cli()
"""
TAP = "headwater_tap_postgres.tap:TapPostgres"
LOADER = "headwater_target_warehouse.duckdb:TargetDuckDB"
WRITER = ("pyarrow.parquet:ParquetWriter", "write_table")
STREAM = "headwater_tap_postgres.bulk:BulkStream"
WAREHOUSE = "headwater_target_warehouse.duckdb:DuckDBWarehouse"
TARGET = "headwater_target_warehouse.target:TargetWarehouse"
# Brands, notes and orders are three files each, in this order.
MOMENTS = {
    "the tap, before its first row": (TAP, STREAM, "_columnar_query", "before", 1),
    "the tap, with a file half written": (TAP, *WRITER, "before", 2),
    "the tap, with a file that nobody was told of": (TAP, *WRITER, "after", 9),
    "the tap, after a batch": (TAP, STREAM, "_write_batch_message", "after", 8),
    "the tap, before the end of a version": (TAP, STREAM, "_complete", "before", 2),
    "the tap, before its last state": (TAP, STREAM, "_complete", "after", 3),
    "the loader, before its first file": (LOADER, WAREHOUSE, "stage_parquet", "before", 1),
    "the loader, before a later file": (LOADER, WAREHOUSE, "stage_parquet", "before", 8),
    "the loader, before a commit": (LOADER, WAREHOUSE, "insert_audit_sql", "before", 2),
    "the loader, before the last commit": (LOADER, WAREHOUSE, "insert_audit_sql", "before", 9),
    "the loader, after a commit": (LOADER, TARGET, "_committed", "before", 8),
    "the loader, before a state": (LOADER, TARGET, "_committed", "after", 8),
}


@pytest.fixture
def catalog(execute, discover):
    """A table with a key and one without, both read whole, and one read by what has changed."""
    execute("""
        create table shop.brands (id integer primary key, v text);
        create table shop.notes (v text);
        create table shop.orders (id integer primary key, at timestamptz not null, v text);
        insert into shop.brands select n, 'old' from generate_series(1, 10) n;
        insert into shop.notes select 'note ' || n / 2 from generate_series(1, 10) n;
        insert into shop.orders
        select n, '2026-01-01 00:00+00'::timestamptz + n * interval '1 hour', 'old'
        from generate_series(1, 10) n
    """)
    catalog = discover("shop-brands", "shop-notes", "shop-orders")
    for stream in catalog["streams"]:
        if stream["tap_stream_id"] == "shop-orders":
            stream |= {"replication_method": "INCREMENTAL", "replication_key": "at"}
    return catalog


def pass_a_day(execute):
    execute("""
        delete from shop.brands where id = 3;
        insert into shop.brands values (11, 'new');
        update shop.brands set v = 'new' where id = 4;
        delete from shop.notes where v = 'note 5';
        insert into shop.notes values ('note 6');
        update shop.orders set at = '2026-01-02 00:00+00', v = 'new' where id < 4;
        insert into shop.orders
        select n, '2026-01-02 00:00+00'::timestamptz + n * interval '1 minute', 'new'
        from generate_series(11, 17) n
    """)


@pytest.fixture
def pipe(tmp_path, settings, warehouse):
    """Run the tap into the loader, one of which dies; returns the states that left the loader."""

    def pipe(catalog, bookmarks, config, dying, *how):
        files = {
            "config": settings(**config),
            "catalog": catalog,
            "state": {"bookmarks": bookmarks},
        }
        arguments = []
        for name, content in files.items():
            (tmp_path / f"{name}.json").write_text(json.dumps(content))
            arguments += [f"--{name}", tmp_path / f"{name}.json"]
        command = {TAP: ["headwater-tap-postgres", *arguments], LOADER: ["target-duckdb"]}
        command[LOADER].append("--config=ENV")
        _, *rest = command[dying]
        command[dying] = [sys.executable, "-c", MORTAL, dying, *map(str, how), *rest]
        tap, loader = (shlex.join(map(str, command[side])) for side in (TAP, LOADER))
        done = subprocess.run(
            ["bash", "-c", f"{tap} | {loader}; echo ${{PIPESTATUS[@]}}"],
            env=os.environ | warehouse().settings | {"TARGET_DUCKDB_BATCH_SIZE_ROWS": "4"},
            capture_output=True,
            text=True,
        )
        *states, codes = done.stdout.splitlines()
        assert codes.split()[[TAP, LOADER].index(dying)] == "137", done.stderr
        return [json.loads(state)["bookmarks"] for state in states]

    return pipe


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed(moment, catalog, execute, sync, in_bulk, warehouse, pipe, tmp_path, monkeypatch):
    config = {"batch_config": {**in_bulk["batch_config"], "batch_size": 4}}
    first = warehouse().load(sync(catalog, **config))
    pass_a_day(execute)

    *_, left = [first, *pipe(catalog, first, config, *MOMENTS[moment])]
    bookmark = left["shop-orders"]["replication_key_value"]
    landed = warehouse().query('select max("at") from raw_shop.orders')
    assert landed >= [(dt.datetime.fromisoformat(bookmark).replace(tzinfo=None),)]

    # A table's version is the second in which its tap has started.
    monkeypatch.setattr(TapPostgres, "initialized_at", int(time.time() + 1) * 1000)
    unharmed = warehouse("unharmed")
    last, expected = (
        {stream: {**state, "snapshot": "snapshot" in state} for stream, state in bookmarks.items()}
        for bookmarks in (
            warehouse().load(sync(catalog, left, **config)),
            unharmed.load(sync(catalog)),
        )
    )
    assert last == expected
    for table in ("brands", "notes", "orders"):
        assert warehouse().rows(f"raw_shop.{table}") == unharmed.rows(f"raw_shop.{table}")
    gone = "select id from raw_shop.brands where _sdc_deleted_at is not null"
    assert warehouse().query(gone) == [(3,)]
    assert [*(tmp_path / "batches").iterdir()] == []

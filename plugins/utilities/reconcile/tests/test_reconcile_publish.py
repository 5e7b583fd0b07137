"""The read copy is there at any time, whole, and reads like the warehouse."""

import signal

import duckdb
import pytest
from headwater_reconcile import publish as publishing


@pytest.fixture
def warehouse(pipeline):
    """A warehouse with one table and views as dbt makes them: without the file's name."""
    with duckdb.connect(str(pipeline.path)) as connection:
        connection.execute(
            """
            create schema raw_shop;
            create schema staging;
            create table raw_shop.orders as select i as id, 'n' || i as name from range(1000) r(i);
            create view "staging"."stg_orders" as (
                with source as (select * from "raw_shop"."orders")
                select id, "raw_shop"."orders".name, 'headwater.x' as text
                from source inner join "raw_shop"."orders" using (id)
            );
            create view "raw_shop"."a_total" as (
                select count(*) as n, min(text) as text from "staging"."stg_orders"
            );
            comment on view staging.stg_orders is 'It''s one row per order.';
            """
        )
    return pipeline


def published(pipeline):
    return pipeline.folder / "headwater-read.duckdb"


def read(pipeline, statement):
    with duckdb.connect(str(published(pipeline)), read_only=True) as connection:
        return connection.execute(statement).fetchall()


def test_copy_is_the_warehouse(warehouse):
    result = warehouse.run("publish")
    assert result.exit_code == 0, result.output
    assert result.stdout == f"Published {published(warehouse)}\n"
    assert read(warehouse, "select count(*), sum(id) from raw_shop.orders") == [(1000, 499500)]
    assert read(warehouse, "select * from raw_shop.a_total") == [(1000, "headwater.x")]
    assert read(warehouse, "select comment from duckdb_views() where view_name = 'stg_orders'") == [
        ("It's one row per order.",)
    ]
    # The warehouse's own views are as they were.
    assert warehouse.sql("select * from raw_shop.a_total") == [(1000, "headwater.x")]


def test_copy_can_be_attached_under_another_name(warehouse):
    warehouse.run("publish")
    with duckdb.connect() as connection:
        connection.execute(f"attach '{published(warehouse)}' as w (read_only)")
        assert connection.execute("select n from w.raw_shop.a_total").fetchall() == [(1000,)]


def test_reader_keeps_what_it_opened(warehouse, in_background):
    warehouse.run("publish")
    count = "print(c.execute('select count(*) from raw_shop.orders').fetchone()[0], flush=True)"
    reader = in_background(
        "import duckdb, sys; c = duckdb.connect(sys.argv[1], read_only=True); "
        f"{count}; input(); {count}",
        published(warehouse),
    )
    assert reader.stdout.readline() == "1000\n"
    warehouse.sql("delete from raw_shop.orders where id < 600")
    assert warehouse.run("publish").exit_code == 0
    reader.stdin.write("\n")
    reader.stdin.flush()
    assert reader.stdout.readline() == "1000\n"
    assert read(warehouse, "select count(*) from raw_shop.orders") == [(400,)]


def test_killed_in_the_middle(warehouse, in_background):
    warehouse.run("publish")
    warehouse.sql("delete from raw_shop.orders where id < 600")
    # Stands still where the copy is written and not yet swapped in.
    process = in_background(
        "import sys; from headwater_reconcile import publish, cli\n"
        "def stand_still(*_): print('copied', flush=True); input()\n"
        "publish.os.fsync = stand_still\n"
        "cli.main(['publish', '--path', sys.argv[1]])",
        warehouse.path,
    )
    assert process.stdout.readline() == "copied\n"
    leftover = warehouse.folder / "headwater-read.duckdb.new"
    assert leftover.exists()
    assert read(warehouse, "select count(*) from raw_shop.orders") == [(1000,)]
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert warehouse.run("publish").exit_code == 0
    assert not leftover.exists()
    assert read(warehouse, "select count(*) from raw_shop.orders") == [(400,)]


def test_no_one_writes_while_it_copies(warehouse, monkeypatch, in_background):
    code = (
        "import duckdb, sys\n"
        "try: duckdb.connect(sys.argv[1]); print('open')\n"
        "except duckdb.IOException: print('refused')"
    )
    told = []

    def look(_):
        told.append(in_background(code, warehouse.path).stdout.readline())

    monkeypatch.setattr(publishing.os, "fsync", look)
    assert warehouse.run("publish").exit_code == 0
    assert told == ["refused\n"]
    assert in_background(code, warehouse.path).stdout.readline() == "open\n"


def test_log_of_a_killed_writer_is_in_the_copy(warehouse, in_background):
    writer = in_background(
        "import duckdb, sys; c = duckdb.connect(sys.argv[1]); "
        "c.execute('insert into raw_shop.orders values (5000, null)'); "
        "print('written', flush=True); input()",
        warehouse.path,
    )
    assert writer.stdout.readline() == "written\n"
    writer.kill()
    writer.wait()
    assert (warehouse.folder / "headwater.duckdb.wal").exists()
    assert warehouse.run("publish").exit_code == 0
    assert read(warehouse, "select max(id) from raw_shop.orders") == [(5000,)]


def test_log_beside_the_former_copy_is_not_replayed(warehouse):
    warehouse.run("publish")
    log = warehouse.folder / "headwater-read.duckdb.wal"
    log.write_bytes(b"of another file")
    assert warehouse.run("publish").exit_code == 0
    assert not log.exists()


def test_no_warehouse(pipeline):
    result = pipeline.run("publish")
    assert result.exit_code == 1
    assert result.stderr == f"Error: there is no warehouse {pipeline.path}: load first\n"
    assert not pipeline.path.exists()


def test_copy_that_cannot_be_written(warehouse):
    (warehouse.folder / "headwater-read.duckdb").mkdir()
    result = warehouse.run("publish")
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "Is a directory" in result.stderr
    assert warehouse.sql("select count(*) from raw_shop.orders") == [(1000,)]

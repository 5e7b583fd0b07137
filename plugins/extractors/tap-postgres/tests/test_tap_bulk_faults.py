"""What may go wrong in the bulk lane: one line, no state ahead of its rows, no file left."""

import errno
import os
import re
import subprocess
import sys

import psutil
import pyarrow.parquet
import pytest
from headwater_tap_postgres.batch_files import BatchFolder
from headwater_tap_postgres.client import ReadError

pytestmark = pytest.mark.usefixtures("shop")


@pytest.fixture
def orders(execute):
    execute("create table shop.orders (id integer primary key, v text)")
    execute("insert into shop.orders select n, repeat(n::text, 20) from generate_series(1, 9) n")


def small_files(in_bulk):
    return {"batch_config": {**in_bulk["batch_config"], "batch_size": 4}}


def files(tmp_path):
    return [*(tmp_path / "batches").rglob("*.parquet")]


def failure(sync, *arguments, **config):
    with pytest.raises(ReadError) as raised:
        sync(*arguments, **config)
    recorder = raised.value.recorder
    assert len(recorder.of("ACTIVATE_VERSION")) == 1, "a read that failed is not complete"
    assert "snapshot" not in str(recorder.of("STATE"))
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_files_are_removed_when_they_are_loaded(
    orders, discover, sync, in_bulk, warehouse, tmp_path
):
    recorder = sync(discover("shop-orders"), **small_files(in_bulk))
    assert len(files(tmp_path)) == 3
    warehouse().load(recorder)
    assert [*(tmp_path / "batches").iterdir()] == []
    assert warehouse().query("select count(*) from raw_shop.orders") == [(9,)]


def test_what_a_crash_has_left_is_swept(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    started = f"{psutil.Process().create_time():.0f}"
    left = [
        tmp_path / f"{ended.pid}-{started}-1",
        tmp_path / f"{os.getpid()}-1000000000-1",  # a process of the same number, long ago
    ]
    needed = tmp_path / f"{os.getpid()}-{started}-1"
    foreign = tmp_path / "my-own-files"
    for folder in (*left, needed, foreign):
        folder.mkdir()
        (folder / "1.parquet").touch()
    made = BatchFolder(tmp_path).new_file().parent
    assert {*tmp_path.iterdir()} == {needed, foreign, made}


def test_no_connection_outlives_the_tap(orders, server, discover, sync, in_bulk):
    def connections():
        found = psutil.Process().net_connections("tcp")
        return {each.laddr for each in found if each.raddr and each.raddr.port == server.port}

    catalog, before = discover("shop-orders"), connections()
    sync(catalog, **in_bulk)
    assert connections() == before


def test_a_disk_that_is_full(orders, discover, sync, in_bulk, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(pyarrow.parquet.ParquetWriter, "write_table", full)
    line = failure(sync, discover("shop-orders"), **in_bulk)
    assert line == "shop-orders: [Errno 28] No space left on device"
    assert files(tmp_path) == []


def test_an_error_in_the_midst_of_a_read(execute, discover, sync, in_bulk):
    execute(
        "create view shop.bad as select 1 / (n - 150000) as v from generate_series(1, 200000) n"
    )
    assert failure(sync, discover("shop-bad"), **in_bulk) == "shop-bad: division by zero"


def test_a_table_that_stays_locked(orders, begin, discover, sync, in_bulk):
    catalog = discover("shop-orders")
    begin().cursor().execute("lock table shop.orders in access exclusive mode")
    line = failure(sync, catalog, lock_timeout_seconds=1, **in_bulk)
    assert line == "shop-orders: canceling statement due to lock timeout"


def test_a_server_that_ends_the_connection(execute, discover, sync, in_bulk, monkeypatch):
    execute("create table shop.big as select n, repeat('x', 200) from generate_series(1, 150000) n")
    catalog = discover("shop-big")
    take = pyarrow.parquet.ParquetWriter.write_table

    def end_then_take(*arguments, **options):
        execute(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where query like 'COPY (SELECT shop.big%'"
        )
        return take(*arguments, **options)

    monkeypatch.setattr(pyarrow.parquet.ParquetWriter, "write_table", end_then_take)
    line = failure(sync, catalog, **small_files(in_bulk))
    # Whether the server's last words are read depends on how much waits before them.
    assert re.match("shop-big: .*(terminating connection|server closed the connection)", line)


def test_a_column_dropped_since_discovery_lands_as_by_rows(
    orders, execute, discover, sync, in_bulk, warehouse
):
    catalog = discover("shop-orders")
    execute("alter table shop.orders drop column v")
    landed = []
    for name, lane in (("rows", {}), ("bulk", in_bulk)):
        warehouse(name).load(sync(catalog, **lane))
        landed.append(warehouse(name).rows("raw_shop.orders"))
    assert landed[0] == landed[1]

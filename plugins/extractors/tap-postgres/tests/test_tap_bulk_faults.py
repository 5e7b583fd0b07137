"""What may go wrong in the bulk lane: one line, no state ahead of its rows, no file left."""

import os
import re
import signal
import subprocess
import sys
import threading
from types import SimpleNamespace

import psutil
import pyarrow.parquet
import pytest
from headwater_tap_postgres.batch_files import BatchFolder
from headwater_tap_postgres.bulk import BulkStream
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


@pytest.fixture
def small_disk(tmp_path):
    """1 MiB for the files; mounting takes root, as CI has."""
    if os.geteuid() != 0:
        pytest.skip("mounting a tmpfs takes root")
    disk = tmp_path / "batches"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], check=True)
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_disk_that_is_full(
    execute, discover, run, sync, in_bulk, warehouse, tmp_path, small_disk
):
    execute("""
        create table shop.noise (id integer primary key, v text);
        insert into shop.noise
        select n, concat(gen_random_uuid(), gen_random_uuid(), gen_random_uuid())
        from generate_series(1, 30000) n
    """)
    catalog = discover("shop-noise", replication_method="INCREMENTAL", replication_key="id")
    config = {"batch_config": {**in_bulk["batch_config"], "batch_size": 1000}}
    done = run(catalog=catalog, **config)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    *_, line = done.stderr.splitlines()
    assert re.search(r"\| Error: shop-noise: .*No space left on device$", line)
    sent = SimpleNamespace(lines=done.stdout.splitlines())
    assert len(files(tmp_path)) == done.stdout.count('"BATCH"'), "no loader knows of a file"
    bookmarks = warehouse().load(sent)
    ((landed,),) = warehouse().query("select count(*) from raw_shop.noise")
    assert 0 < bookmarks["shop-noise"]["replication_key_value"] <= landed < 30000
    assert "snapshot" not in bookmarks["shop-noise"]
    subprocess.run(["mount", "-o", "remount,size=10m", small_disk], check=True)
    warehouse().load(sync(catalog, bookmarks, **config))
    expected = execute("select id::text, v from shop.noise")
    assert warehouse().rows("raw_shop.noise")[1] == sorted(expected)
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


@pytest.fixture(params=["rows", "columns"])
def lane(request, in_bulk):
    return in_bulk if request.param == "columns" else {}


@pytest.fixture
def commit_when_awaited(begin):
    """Commit a transaction once another one waits for what it has locked."""
    threads = []

    def commit_when_awaited(holder):
        looking = begin().cursor()

        def commit():
            waits = False
            while not waits:
                looking.execute("select exists (select from pg_locks where not granted)")
                ((waits,),) = looking.fetchall()
            holder.commit()

        threads.append(threading.Thread(target=commit, daemon=True))
        threads[-1].start()

    yield commit_when_awaited
    for thread in threads:
        thread.join()


def test_a_table_that_is_locked_for_a_while(
    orders, begin, commit_when_awaited, discover, sync, lane, warehouse
):
    catalog, holder = discover("shop-orders"), begin()
    holder.cursor().execute("lock table shop.orders; insert into shop.orders values (10, 'late')")
    commit_when_awaited(holder)
    bookmarks = warehouse().load(sync(catalog, **lane))
    # Read as it was when the read began; the next one has what came since.
    assert len(warehouse().rows("raw_shop.orders")[1]) == 9
    warehouse().load(sync(catalog, bookmarks, **lane))
    assert len(warehouse().rows("raw_shop.orders")[1]) == 10


def test_a_column_dropped_while_the_read_waits(
    orders, begin, commit_when_awaited, discover, sync, lane, warehouse
):
    catalog, holder = discover("shop-orders"), begin()
    warehouse().load(sync(catalog, **lane))
    holder.cursor().execute(
        "insert into shop.orders values (10, 'last'); alter table shop.orders drop column v"
    )
    commit_when_awaited(holder)
    with pytest.raises(ReadError, match=r"^shop-orders: column (shop\.)?orders\.v does not exist"):
        sync(catalog, **lane)
    warehouse().load(sync(discover("shop-orders"), **lane))
    landed = dict(warehouse().rows("raw_shop.orders")[1])
    assert landed.keys() == {str(n) for n in range(1, 11)}
    assert (landed["9"], landed["10"]) == ("9" * 20, None)


def test_a_tap_that_is_terminated_says_of_no_row_that_was_not_sent(
    execute, discover, sync, in_bulk, monkeypatch
):
    def terminate(stream, *_, **__):
        try:
            stream._tap._handle_termination(signal.SIGTERM, None)
        except SystemExit as error:
            raise ReadError("terminated") from error

    execute("create table shop.orders as select n from generate_series(1, 9) n")
    execute("alter table shop.orders alter n set not null")
    catalog = discover("shop-orders", replication_method="INCREMENTAL", replication_key="n")
    monkeypatch.setattr(BulkStream, "_write_batch_message", terminate)
    with pytest.raises(ReadError) as raised:
        sync(catalog, **in_bulk)
    (state,) = raised.value.recorder.of("STATE")
    assert "replication_key_value" not in state["value"]["bookmarks"].get("shop-orders", {})

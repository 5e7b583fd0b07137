"""What a person reads at the end of a run."""

import json
import os
import re

import pytest

DBT = {
    "metadata": {"generated_at": "2126-01-01T00:00:00Z"},
    "elapsed_time": 4.21,
    "results": [
        {"unique_id": "model.headwater.fct_orders", "status": "success"},
        {"unique_id": "model.headwater.total_sales", "status": "success"},
        {"unique_id": "test.headwater.unique_fct_orders.abc", "status": "pass"},
        {"unique_id": "exposure.headwater.sales_dashboard", "status": "no-op"},
    ],
}


@pytest.fixture
def run(pipeline):
    """A first load, reconciled, modelled and published."""
    for table in ("orders", "sellers"):
        columns = {"id": "bigint primary key", "updated_at": "timestamptz not null"}
        pipeline.create(table, columns, ["id"])
    pipeline.source.execute(
        "insert into shop.orders select i, '2026-01-01Z' from generate_series(1, 1234) i; "
        "insert into shop.sellers select i, '2026-01-01Z' from generate_series(1, 5) i"
    )
    pipeline.load()
    assert pipeline.check().exit_code == 0
    dbt(pipeline, DBT)
    assert pipeline.run("publish").exit_code == 0
    return pipeline


def dbt(pipeline, results):
    (pipeline.folder / "dbt").mkdir(exist_ok=True)
    (pipeline.folder / "dbt/run_results.json").write_text(json.dumps(results))


def table(text: str) -> list[list[str]]:
    """The cells of the table, without its seconds."""
    lines = text.splitlines()
    start = next(n for n, line in enumerate(lines) if line.split()[:1] == ["stream"])
    rows = [line.split() for line in lines[start : start + 6]]
    return [row[:-1] for row in rows if len(row) > 1]


def test_summary(run, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("sys.executable", "/venv/bin/python")
    result = run.run("summary")
    assert result.exit_code == 0, result.output
    assert table(result.stdout) == [
        ["stream", "source", "warehouse", "inserted", "updated", "deleted", "later", "lost"],
        ["shop-orders", "1,234", "1,234", "1,234", "0", "0", "0", "0"],
        ["shop-sellers", "5", "5", "5", "0", "0", "0", "0"],
        ["2", "streams", "1,239", "1,239", "1,239", "0", "0", "0", "0"],
    ]
    assert "  Every row arrived.\n" in result.stdout
    assert (
        "  dbt        2 models, 1 test: 3 ok, 0 warn, 0 error, 0 skip in 4.2 s\n" in result.stdout
    )
    assert f"  warehouse  {run.path} (" in result.stdout
    copy = run.folder / "headwater-read.duckdb"
    assert f"  its copy   {copy} (" in result.stdout
    opening = result.stdout.splitlines()[-2]
    assert opening == (
        f"    /venv/bin/python -ic \"import duckdb; db = duckdb.connect('{copy}', True)\""
    )
    assert "\x1b" not in result.stdout
    short = [line for line in result.stdout.splitlines() if str(run.folder) not in line]
    assert max(map(len, short)) <= 100


def test_the_load_from_postgres_is_shown_apart_from_what_is_around_it(run):
    assert re.search(r"^  Postgres   2 streams in \d+\.\d s$", run.run("summary").stdout, re.M)
    run.sql("update _headwater.loads set seconds = 1.25")
    line = "  Postgres   2 streams in 2.5 s, with Meltano and the start of tap and loader 11.8 s\n"
    assert line in run.run("summary", "--load-seconds", "11.75").stdout
    # A stream that the newest run has not loaded, and the shop's, do not count.
    run.sql("update _headwater.loads set run_id = 'older' where stream = 'shop-orders'")
    run.sql("update _headwater.reconciliations set run_id = 'newest'")
    assert "  Postgres " not in run.run("summary").stdout
    run.sql("update _headwater.loads set run_id = 'newest'")
    for table in ("loads", "reconciliations"):
        run.sql(f"update _headwater.{table} set stream = 'orders' where stream = 'shop-orders'")
    assert "  Postgres   1 stream in 1.2 s\n" in run.run("summary").stdout


def test_paths_are_as_short_as_they_can_be_typed(run, monkeypatch):
    monkeypatch.chdir(run.folder)
    monkeypatch.setattr("sys.executable", str(run.folder / ".venv/bin/python"))
    result = run.run("summary")
    assert "  warehouse  headwater.duckdb (" in result.stdout
    assert str(run.folder) not in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 100


def test_duckdb_itself_is_named_where_there_is_one(run, monkeypatch):
    (run.folder / "duckdb").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(run.folder))
    copy = run.folder / "headwater-read.duckdb"
    assert f"  open it    duckdb -readonly {copy}\n" in run.run("summary").stdout


def test_second_run_shows_its_own_rows(run):
    run.source.execute("update shop.orders set updated_at = '2026-02-01Z' where id <= 3")
    run.source.execute("insert into shop.orders values (2000, '2026-02-01Z')")
    run.source.execute("delete from shop.sellers where id = 5")
    run.load(since="2026-01-15Z")
    run.source.execute("insert into shop.orders values (2001, '2026-03-01Z')")
    assert run.check().exit_code == 0
    result = run.run("summary")
    assert table(result.stdout)[1:] == [
        ["shop-orders", "1,236", "1,235", "1", "3", "0", "1", "0"],
        ["shop-sellers", "4", "4", "0", "0", "1", "0", "0"],
        ["2", "streams", "1,240", "1,239", "1", "3", "1", "1", "0"],
    ]
    assert "  1 row changed after it was read: the next run brings it.\n" in result.stdout


def test_lost_rows_and_failed_tests_stand_out(run):
    run.sql("delete from raw_shop.sellers")
    run.source.execute("alter table shop.orders rename to moved")
    assert run.check().exit_code == 1
    failed = {"unique_id": "test.headwater.unique_fct_orders.abc", "status": "fail"}
    skipped = {"unique_id": "model.headwater.total_sales", "status": "skipped"}
    dbt(run, DBT | {"results": [DBT["results"][0], skipped, failed]})
    result = run.run("summary")
    assert table(result.stdout)[1:3] == [
        ["shop-orders", "–", "–", "1,234", "0", "0", "–", "–"],
        ["shop-sellers", "5", "0", "5", "0", "0", "0", "5"],
    ]
    assert "  5 rows lost: shop-sellers.\n" in result.stdout
    assert "  Not reconciled: shop-orders.\n" in result.stdout
    assert "Every row arrived" not in result.stdout
    assert "2 models, 1 test: 1 ok, 0 warn, 1 error, 1 skip" in result.stdout
    assert "             fail: test unique_fct_orders\n" in result.stdout


def test_old_results_are_called_old(run):
    dbt(run, DBT | {"metadata": {"generated_at": "2020-01-01T00:00:00.123456Z"}})
    run.load()
    result = run.run("summary")
    assert "Rows were loaded since then" in result.stdout
    assert "of an earlier run" in result.stdout


def test_unread_dbt_results(run):
    (run.folder / "dbt/run_results.json").write_text("{")
    assert "  dbt        has not run\n" in run.run("summary").stdout


def test_published_copy_is_read_while_another_writes(run, in_background):
    holder = in_background(
        "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('held', flush=True); input()",
        run.path,
    )
    assert holder.stdout.readline() == "held\n"
    stamp = run.path.stat().st_mtime_ns + 1
    os.utime(run.folder / "headwater-read.duckdb", ns=(stamp, stamp))
    result = run.run("summary", RECONCILE_LOCK_TIMEOUT_SECONDS="0")
    assert result.exit_code == 0, result.output
    assert "Every row arrived." in result.stdout


def test_nothing_reconciled_yet(pipeline):
    pipeline.create("orders", {"id": "bigint primary key"}, ["id"], None)
    pipeline.load()
    result = pipeline.run("summary")
    assert result.exit_code == 0, result.output
    assert "Nothing has been reconciled yet." in result.stdout


def test_no_warehouse_at_all(pipeline):
    result = pipeline.run("summary")
    assert result.exit_code == 1
    assert result.stderr == f"Error: there is no warehouse {pipeline.path}: load first\n"

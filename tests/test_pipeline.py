"""`make run`, again, after a day of business and after an interrupted run: what arrives, and what
the person at the terminal sees of it."""

import datetime as dt
import json
import re
import shutil
from collections import Counter
from dataclasses import dataclass

import duckdb
import psycopg
import pytest
from headwater_project import (
    Done,
    Project,
    Table,
    differences,
    kill,
    source_tables,
    until,
    warehouse_tables,
)
from headwater_reconcile.shopify import parsed
from shop_documents import KINDS, landed, sent, unlike

CHECKS = True

POSTGRES = {
    *("rainbow-customers", "rainbow-sellers", "rainbow-categories", "rainbow-brands"),
    *("rainbow-promotions", "rainbow-products", "rainbow-payments", "rainbow-orders"),
    *("rainbow-order_details", "lana-customers", "lana-facilities", "lana-transactions"),
}
WHOLE = {"rainbow-categories", "rainbow-brands", "rainbow-promotions", "rainbow-payments"}
STREAMS = POSTGRES | KINDS.keys()
# Which of them reconcile compares: those of the last days, by the time of the bookmark.
COMPARED = {"transactions": "createdAt", "order_refunds": "updatedAt"}
COMPARED_DAYS = 31
OVERLAP = "1 hour"


@dataclass(frozen=True)
class Stage:
    """A run, and what was at either side when it had ended."""

    done: Done
    source: dict[str, Table]
    warehouse: dict[str, Table]
    shop: dict[str, dict[str, dict]]
    shop_landed: dict[str, dict[str, dict]]
    bookmarks: dict[str, dict]
    received: dict[str, int]

    @property
    def rows(self) -> dict[str, int]:
        """How many there are at the sources, by stream."""
        tables = {stream: table.rows.total() for stream, table in self.source.items()}
        return tables | {stream: len(rows) for stream, rows in self.shop.items()}

    @property
    def compared(self) -> dict[str, int]:
        """How many of them reconcile counts, by stream."""
        counted = self.rows
        for stream, time in COMPARED.items():
            bookmark = parsed(self.bookmarks[stream][time])
            since = bookmark - dt.timedelta(COMPARED_DAYS)
            times = [parsed(row[time]) for row in self.shop[stream].values()]
            counted[stream] = sum(at >= since for at in times)
        return counted

    @property
    def differences(self) -> dict | list:
        return differences(self.source, self.warehouse) or unlike(self.shop_landed, self.shop)


def stage(project: Project, done: Done) -> Stage:
    with duckdb.connect(str(project.warehouse), read_only=True) as connection:
        received = connection.execute(
            "select stream, sum(rows_received)::int from _headwater.loads where run_id = ("
            "  select run_id from _headwater.loads order by loaded_at desc limit 1"
            ") group by stream"
        ).fetchall()
    return Stage(
        done,
        source_tables(project.server.dsn, "rainbow", "lana"),
        warehouse_tables(project.warehouse),
        sent(project),
        landed(project),
        project.bookmarks() | project.bookmarks("tap-shopify"),
        dict(received),
    )


@pytest.fixture(scope="module")
def first(project):
    # So that the next day is one on which the shop deletes something too.
    project.tick()
    project.tick()
    return stage(project, project.make("run"))


@pytest.fixture(scope="module")
def again(project, first):
    return stage(project, project.make("run"))


@pytest.fixture(scope="module")
def tick(project, again):
    return project.tick()


@pytest.fixture(scope="module")
def after_a_tick(project, tick):
    return stage(project, project.make("run"))


@pytest.fixture(scope="module")
def after_an_interrupted_run(project, after_a_tick):
    """A second day, and the loader killed in the middle of its load; then a run."""
    project.tick()
    running = project.start("python", "orchestrate/run.py", "nightly")
    with psycopg.connect(project.server.dsn) as connection:
        until(lambda: project.processes("headwater-tap-postgres", "--catalog"), "the tap")
        connection.execute("lock table rainbow.orders")
        until(lambda: project.server_waits(), "the tap reading rainbow.orders")
        kill(project.processes("target-duckdb"))
        assert project.end(running).code != 0
    return stage(project, project.make("run"))


def marked(*stages: Stage) -> dict[str, Counter]:
    """What went between the stages, as it was before."""
    gone: dict[str, Counter] = {stream: Counter() for stream in POSTGRES}
    for before, after in zip(stages, stages[1:], strict=False):
        for stream in POSTGRES:
            gone[stream] += before.source[stream].gone(after.source[stream])
    return gone


def test_the_terminal_shows_that_every_row_arrived(project, first):
    assert first.done.code == 0, first.done.text
    table = first.done.table
    assert table.keys() == STREAMS
    for stream, counts in table.items():
        rows = first.rows[stream]
        assert rows > 0
        assert counts == {
            **dict.fromkeys(("source", "warehouse"), first.compared[stream]),
            "inserted": rows,
            **dict.fromkeys(("updated", "deleted", "later", "lost"), 0),
        }
    assert "Every row arrived." in first.done.out
    assert re.search(
        r"^  Postgres +12 streams in [\d.]+ s, with Meltano .* [\d.]+ s$",
        first.done.out,
        re.MULTILINE,
    )
    assert re.search(r"dbt +\d+ models.*: \d+ ok, 0 warn, 0 error, 0 skip", first.done.out)
    assert "output/headwater.duckdb" in first.done.out
    assert first.done.out.rstrip().endswith("output/reports/index.html, which `make reports` opens")
    assert "Traceback" not in first.done.text


def test_the_reports_are_of_the_run(project, first):
    reports = project.output / "reports"
    pages = {path.name for path in reports.glob("*.html")}
    assert pages > {"index.html", "sales.html", "second_orders.html"}
    exported = json.loads((reports / "exports/manifest.json").read_text())
    with duckdb.connect(str(project.warehouse), read_only=True) as connection:
        (loaded_at,) = connection.execute("select max(loaded_at) from _headwater.loads").fetchone()
        for file in exported["files"]:
            assert (
                file["rows"] == connection.execute(f"from {file['view']}").to_arrow_table().num_rows
            )
    assert exported["data_loaded_at"] == f"{loaded_at:%Y-%m-%dT%H:%M:%SZ}"
    done = project.meltano("--log-level", "warning", "invoke", "reports", "open", BROWSER="true")
    assert done.code == 0, done.text
    assert "output/reports/index.html" in done.out


def test_the_warehouse_can_be_opened_as_the_terminal_says(project, first):
    (command,) = re.findall(r"^ *(\S+ -ic \".+\")$", first.done.out, re.MULTILINE)
    shown = project.run(
        *("sh", "-c", command.replace("-ic", "-c").replace(", True)", ", True); print(db)"))
    )
    assert (shown.code, shown.err) == (0, "")
    with duckdb.connect(str(project.output / "headwater-read.duckdb"), read_only=True) as copy:
        (orders,) = copy.execute(
            "select count(*) from marts.fct_orders where channel = 'app'"
        ).fetchone()
    assert orders == first.source["rainbow-orders"].rows.total()


def test_after_a_first_load_the_warehouse_equals_the_source(first):
    assert not first.differences


def test_the_comparison_sees_one_digit_and_one_row(tmp_path, project, first):
    spoilt = tmp_path / "spoilt.duckdb"
    shutil.copy(project.warehouse, spoilt)
    with duckdb.connect(str(spoilt)) as connection:
        connection.execute(
            "update raw_rainbow.products set price = price + 0.01 where product_id = 7"
        )
        connection.execute(
            "update raw_lana.customers set _sdc_deleted_at = now() where customer_id = 1"
        )
        connection.execute("alter table raw_rainbow.brands add column more int")
    found = differences(first.source, warehouse_tables(spoilt))
    assert {stream: set(wrong) for stream, wrong in found.items()} == {
        "rainbow-products": {"missing", "beyond"},
        "lana-customers": {"missing", "marked"},
        "rainbow-brands": {"columns", "missing", "beyond"},
    }


def test_a_run_without_news_changes_nothing(first, again):
    assert again.done.code == 0, again.done.text
    for stream, counts in again.done.table.items():
        assert counts == {
            **dict.fromkeys(("source", "warehouse"), first.compared[stream]),
            **dict.fromkeys(("inserted", "updated", "deleted", "later", "lost"), 0),
        }
    assert "Every row arrived." in again.done.out
    assert not again.differences


def test_after_a_tick_a_run_moves_what_the_tick_did(tick, after_a_tick):
    assert after_a_tick.done.code == 0, after_a_tick.done.text
    moved = {
        stream: {what: counts[what] for what in ("inserted", "updated", "deleted")}
        for stream, counts in after_a_tick.done.table.items()
    }
    assert moved == tick
    for streams in (POSTGRES, KINDS):
        assert sum(tick[stream]["deleted"] for stream in streams) > 0
    for stream, counts in after_a_tick.done.table.items():
        assert (counts["later"], counts["lost"]) == (0, 0)
        assert counts["source"] == counts["warehouse"] == after_a_tick.compared[stream]


def test_after_a_tick_only_what_changed_and_the_overlap_is_read(project, again, after_a_tick):
    expected = {}
    with psycopg.connect(project.server.dsn) as connection:
        for stream in POSTGRES:
            where, since = "", None
            if stream not in WHOLE:
                where = f"where updated_at >= %s::timestamptz - interval '{OVERLAP}'"
                since = again.bookmarks[stream]["replication_key_value"]
            (expected[stream],) = connection.execute(
                f"select count(*) from {stream.replace('-', '.')} {where}", since and [since]
            ).fetchone()
    received = {stream: after_a_tick.received[stream] for stream in POSTGRES}
    assert received == expected
    # The shop's streams begin at the bookmark, whose row comes again.
    for stream in ("orders", "customers", "products", "product_variants"):
        since = parsed(again.bookmarks[stream]["updatedAt"])
        rows = after_a_tick.shop[stream].values()
        changed = sum(parsed(row["updatedAt"]) >= since for row in rows)
        assert after_a_tick.received[stream] == changed < after_a_tick.rows[stream] / 2
    assert expected["rainbow-orders"] < after_a_tick.source["rainbow-orders"].rows.total() / 10


def test_after_a_tick_the_warehouse_equals_the_source(again, after_a_tick):
    deleted = marked(again, after_a_tick)
    assert deleted["rainbow-order_details"]
    assert again.shop["products"].keys() - after_a_tick.shop["products"].keys()
    assert unlike(after_a_tick.shop_landed, after_a_tick.shop) == []
    assert differences(after_a_tick.source, after_a_tick.warehouse, deleted) == {}


def test_after_an_interrupted_run_the_warehouse_equals_the_source(
    again, after_a_tick, after_an_interrupted_run
):
    end = after_an_interrupted_run
    assert end.done.code == 0, end.done.text
    assert "Every row arrived." in end.done.out
    deleted = marked(again, after_a_tick, end)
    assert differences(end.source, end.warehouse, deleted) == {}
    assert unlike(end.shop_landed, end.shop) == []

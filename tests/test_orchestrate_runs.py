"""The graph, run: what is on each asset, what a failure leaves, what is tried again."""

import datetime as dt
import json
import re
import shutil
from zoneinfo import ZoneInfo

import duckdb
import psycopg
import pytest
from dagster import DagsterEventType, DagsterRunStatus
from dagster_project import MODULE, Dagster
from headwater_project import kill, project_in, stuck, until
from playwright.sync_api import sync_playwright
from shop_documents import sent

pytestmark = pytest.mark.slow

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = """
    --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync
    --disable-background-networking --disable-component-update
"""
POSTGRES = ("raw_rainbow/", "raw_lana/")
OF_POSTGRES = "key:raw_rainbow/* or key:raw_lana/*"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    yield from project_in(tmp_path_factory.mktemp("project"), scale=0.01)


@pytest.fixture(scope="module")
def dagster(project):
    return Dagster(project)


@pytest.fixture(scope="module")
def first(project, dagster):
    """The whole graph, once, with a day's changes behind it."""
    done = project.make("nightly")
    assert done.code == 0, done.text
    return done


def streams(project):
    with duckdb.connect(str(project.warehouse), read_only=True) as connection:
        return {
            f"{schema}/{table}": stream
            for stream, schema, table in connection.execute(
                "select stream, table_schema, table_name from _headwater.streams"
            ).fetchall()
        }


def of_postgres(project):
    return {key: name for key, name in streams(project).items() if key.startswith(POSTGRES)}


def test_nightly_makes_everything_and_ends_with_the_summary(project, dagster, first):
    assert "Every row arrived." in first.out
    assert "Beginning" in first.err
    assert "STEP_START" not in first.text
    (run,) = dagster.runs()
    assert run.status == DagsterRunStatus.SUCCESS
    made = dagster.materialized(run)
    assert len(made) == len(set(made))
    assert set(streams(project)) <= set(made)
    last = [asset for asset in made if not asset.startswith("reports/")][-1]
    assert last == "warehouse_copy"
    assert {"marts/fct_orders", "reporting/total_sales"} <= set(made)
    checks = dagster.checks(run)
    assert all(checks.values())
    reconciled = {asset for asset, check in checks if check == "reconcile"}
    assert reconciled == streams(project).keys()
    assert len([asset for asset in reconciled if asset.startswith("raw_shopify/")]) == 6


def test_every_stream_is_a_table_of_the_live_catalog(project, dagster, first):
    done = project.meltano("--log-level", "warning", "invoke", "tap-postgres", "--discover")
    assert done.code == 0, done.text
    catalog = {stream["tap_stream_id"] for stream in json.loads(done.out)["streams"]}
    (run,) = dagster.runs()[-1:]
    made = {key for key in dagster.materialized(run) if key.startswith(POSTGRES)}
    assert made == {f"raw_{stream.replace('-', '/')}" for stream in catalog}


def test_each_stream_says_what_the_loader_noted(project, dagster, first):
    (run,) = dagster.runs()[-1:]
    with duckdb.connect(str(project.warehouse), read_only=True) as connection:
        loads = connection.execute(
            "select table_schema || '/' || table_name, rows_received, rows_inserted, bytes "
            "from _headwater.loads where run_id = ?",
            [run.run_id],
        ).fetchall()
    assert len(loads) == len(streams(project))
    for asset, received, inserted, size in loads:
        said = dagster.metadata(run, asset)
        assert (said["rows_received"], said["rows_inserted"]) == (received, inserted)
        assert said["bytes"] == size
        assert said["seconds"] > 0
    newest = dagster.metadata(run, "raw_rainbow/orders")["newest_replication_value"]
    with psycopg.connect(project.server.dsn) as connection:
        (at,) = connection.execute("select max(updated_at) from rainbow.orders").fetchone()
    assert newest.startswith(f"{at:%Y-%m-%dT%H:%M:%S}")
    shop = dagster.metadata(run, "raw_shopify/orders")["newest_replication_value"]
    assert shop[:19] == max(order["updatedAt"] for order in sent(project)["orders"].values())[:19]


def test_the_ui_shows_the_graph_an_asset_and_the_schedule(project, dagster, first):
    if not CHROMIUM:
        pytest.skip("there is no Chromium on PATH: apt-get install chromium")
    done = project.run("dagster", "schedule", "start", "nightly", *MODULE)
    assert done.code == 0, done.text
    newest = next(r for r in dagster.runs() if "raw_rainbow/orders" in dagster.materialized(r))
    received = dagster.metadata(newest, "raw_rainbow/orders")["rows_received"]
    with dagster.webserver() as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        page = browser.new_page(viewport={"width": 1500, "height": 950})
        page.set_default_timeout(120_000)
        page.route(lambda asked: not asked.startswith(url), lambda route: route.abort())
        page.goto(f"{url}/asset-groups")
        for group in ("postgres_rainbow", "raw_shopify", "marts_sales", "reports"):
            page.get_by_text(group, exact=True).first.wait_for()
        page.goto(f"{url}/assets/raw_rainbow/orders")
        row = page.locator("tr", has_text="rows_received").first
        assert row.inner_text().split()[-1] == str(received)
        page.goto(f"{url}/locations/__repository__@orchestrate.definitions/schedules/nightly")
        zone = ZoneInfo("Asia/Ho_Chi_Minh")
        tick = dt.datetime.now(zone).replace(hour=2, minute=0)
        tick += dt.timedelta(days=tick <= dt.datetime.now(zone))
        next_tick = page.locator("tr", has_text="Next tick").first
        shown = re.sub(r"\s+", " ", next_tick.inner_text())
        assert f"{tick:%b} {tick.day}" in shown
        assert "2:00" in shown
        assert "AM GMT+7" in shown
        browser.close()
    done = project.run("dagster", "schedule", "stop", "nightly", *MODULE)
    assert done.code == 0, done.text


BACKFILL = """
mutation Backfill($days: [String!]!, $asset: AssetKeyInput!) {
  launchPartitionBackfill(backfillParams: {partitionNames: $days, assetSelection: [$asset]}) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}
"""


def test_the_backfill_page_builds_the_chosen_days_again_and_no_others(project, dagster, first):
    def by_day():
        with duckdb.connect(str(project.warehouse), read_only=True) as connection:
            return {
                str(day): newest
                for day, newest in connection.execute(
                    "select sold_on, max(updated_at) from marts.fact_sales group by sold_on"
                ).fetchall()
            }

    def shift(years):
        with duckdb.connect(str(project.warehouse)) as connection:
            connection.execute(
                "update raw_rainbow.order_details "
                f"set updated_at = updated_at + interval ({365 * years}) day"
            )

    def runs():
        return [run for run in dagster.runs() if run.tags.get("dagster/backfill") == backfill]

    before = by_day()
    # No model looks at this column to find what changed.
    shift(1)
    days = [str(dt.date(2025, 5, 1) + dt.timedelta(days=n)) for n in range(37)]
    dagster.start_daemon()
    with dagster.webserver() as url:
        answer = dagster.ask(url, BACKFILL, days=days, asset={"path": ["fact_sales_days"]})
        backfill = answer["launchPartitionBackfill"].get("backfillId")
        assert backfill, answer
        (run,) = until(runs, "the backfill's run")
        until(lambda: dagster.run(run).is_finished, "its end")
    for process in project.processes("dagster"):
        process.kill()
    shift(-1)
    assert dagster.run(run).status == DagsterRunStatus.SUCCESS, dagster.errors(run)
    assert [found.run_id for found in runs()] == [run.run_id]
    made = dagster.materialized(run)
    assert made.count("fact_sales_days") == len(days)
    assert {"marts/fact_sales", "reporting/total_sales"} <= set(made)
    # What is made of none of it is left as it is.
    assert "reporting/pipeline_runs" not in made
    after = by_day()
    changed = {day for day in after if after[day] != before[day]}
    assert changed
    assert changed == before.keys() & set(days)


def test_days_are_built_again_though_newer_rows_are_not_yet_modelled(project, dagster, first):
    project.tick()
    loads = "tap-postgres target-duckdb tap-shopify lines-to-orders target-duckdb"
    done = project.meltano("run", *loads.split())
    assert done.code == 0, done.text
    done = dagster.materialize("key:fact_sales_days", "--partition", "2025-05-01")
    assert done.code == 0, done.text
    checks = dagster.checks(dagster.runs()[0])
    assert checks["marts/fact_sales", "assert_marts_equal_sources_by_day"]
    assert all(checks.values())


def test_only_the_chosen_streams_are_run(project, dagster, first):
    before = project.bookmarks()
    project.tick()
    done = dagster.materialize("key:raw_rainbow/orders or key:raw_lana/customers")
    assert done.code == 0, done.text
    run = dagster.runs()[0]
    assert sorted(dagster.materialized(run)) == ["raw_lana/customers", "raw_rainbow/orders"]
    assert sorted(dagster.checks(run)) == [
        ("raw_lana/customers", "reconcile"),
        ("raw_rainbow/orders", "reconcile"),
    ]
    synced = set(re.findall(r"Beginning (?:\w+ )*sync of '([\w-]+)'", done.text))
    assert synced == {"rainbow-orders", "lana-customers"}
    after = project.bookmarks()
    moved = {stream for stream in before if before[stream] != after[stream]}
    assert moved == synced
    # The others' rows of that day come when they are chosen.
    done = dagster.materialize(OF_POSTGRES)
    assert done.code == 0, done.text
    run = dagster.runs()[0]
    assert all(dagster.checks(run).values())
    assert dagster.metadata(run, "raw_rainbow/order_details")["rows_inserted"] > 0


def test_a_retry_loads_only_the_rest(project, dagster, first):
    running = dagster.start(OF_POSTGRES)
    with stuck(project, "headwater-tap-postgres", "--catalog") as connection:
        connection.execute(
            "select pg_terminate_backend(pid) from pg_locks where not granted and pid is not null"
        )
    done = project.end(running)
    assert done.code == 0, done.text
    run = dagster.runs()[0]
    (retried,) = dagster.events(run, DagsterEventType.STEP_UP_FOR_RETRY)
    assert retried.step_key == "tap_postgres"
    loaded = of_postgres(project)
    assert sorted(dagster.materialized(run)) == sorted(loaded)
    log = (project.output / "logs" / run.run_id / "tap_postgres.log").read_text()
    once, again = _attempts(log)
    assert once[-1] == "rainbow-orders"
    assert set(again) == set(loaded.values()) - set(once[:-1])


def _attempts(log):
    return [
        re.findall(r"Beginning (?:\w+ )*sync of '([\w-]+)'", attempt)
        for attempt in log.split("Running command:")[1:]
    ]


def test_a_tap_that_fails_for_good_leaves_what_was_committed(project, dagster, first):
    running = dagster.start(f"{OF_POSTGRES} or key:staging/stg_rainbow__brands")
    with stuck(project, "headwater-tap-postgres", "--catalog"):
        kill(project.processes("headwater-tap-postgres", "--catalog"))
    done = project.end(running)
    assert done.code != 0
    run = dagster.runs()[0]
    assert run.status == DagsterRunStatus.FAILURE
    assert dagster.events(run, DagsterEventType.STEP_UP_FOR_RETRY) == []
    made = set(dagster.materialized(run))
    assert "raw_lana/customers" in made
    assert "raw_rainbow/order_details" in made
    assert not {"raw_rainbow/orders", "raw_rainbow/products", "raw_rainbow/sellers"} & made
    assert not [asset for asset in made if not asset.startswith("raw_")]


def test_wrong_credentials_are_told_once_and_not_tried_again(project, dagster):
    secret = "correct-horse-battery"  # pragma: allowlist secret
    done = dagster.materialize("key:raw_lana/customers", POSTGRES_PASSWORD=secret)
    assert done.code != 0
    run = dagster.runs()[0]
    assert dagster.events(run, DagsterEventType.STEP_UP_FOR_RETRY) == []
    assert dagster.materialized(run) == []
    said = dagster.errors(run)
    assert f'password authentication failed for user "{project.server.user}"' in said
    log = project.output / "logs" / run.run_id / "tap_postgres.log"
    assert f"full log: {log}" in said
    assert "Command exited with return code 1" in log.read_text()
    assert secret not in done.text + said + log.read_text()


def window(tap, stream, since):
    return {"ops": {"window": {"config": {"tap": tap, "streams": [stream], "since": since}}}}


DETAILS = "raw_rainbow/order_details"
READS_DETAILS = "staging/stg_rainbow__order_details"


@pytest.fixture(scope="module")
def lost(project, dagster, first):
    """The run after rows were lost, of their stream and the model that reads it."""
    with duckdb.connect(str(project.warehouse)) as connection:
        connection.execute(f"delete from {DETAILS.replace('/', '.')} where order_id % 7 = 0")
    done = dagster.materialize(f"key:{DETAILS} or key:{READS_DETAILS}")
    assert done.code != 0
    return dagster.runs()[0]


def test_dbt_does_not_build_on_a_stream_that_lost_rows(dagster, lost):
    assert dagster.checks(lost) == {(DETAILS, "reconcile"): False}
    assert READS_DETAILS not in dagster.materialized(lost)


def test_a_window_is_read_again_beside_the_nights(project, dagster, lost):
    with psycopg.connect(project.server.dsn) as connection:
        old, new = connection.execute(
            "select count(*) filter (where updated_at < %(since)s), "
            "count(*) filter (where updated_at >= %(since)s) from rainbow.order_details",
            {"since": "2025-06-01"},
        ).fetchone()
    assert old
    assert new
    before = project.state()

    # A part of what was lost is in the window: so much is read, and reconcile misses the rest.
    details = ("tap-postgres", "rainbow-order_details")
    assert dagster.execute("reread", window(*details, "2025-06-01T00:00:00Z")).code != 0
    run = dagster.runs()[0]
    assert dagster.metadata(run, DETAILS)["rows_received"] == new
    assert not dagster.checks(run)[DETAILS, "reconcile"]
    assert dagster.events(run, DagsterEventType.STEP_UP_FOR_RETRY) == []
    done = dagster.execute("reread", window(*details, "2000-01-01T00:00:00Z"))
    assert done.code == 0, done.text
    run = dagster.runs()[0]
    assert dagster.metadata(run, DETAILS)["rows_received"] == old + new
    assert dagster.checks(run) == {(DETAILS, "reconcile"): True}
    after = project.state()
    assert {path: after[path] for path in before} == before
    assert any("repair" in path for path in after.keys() - before.keys())
    for tap, stream, said in (
        (
            "tap-postgres",
            "rainbow-sheep",
            "tap-postgres selects no rainbow-sheep: choose from r",
        ),
        ("tap-mysql", "sheep", "there is no tap-mysql: choose from tap-postgres, tap-shopify"),
    ):
        assert dagster.execute("reread", window(tap, stream, "2025-06-01T00:00:00Z")).code != 0
        assert said in dagster.errors(dagster.runs()[0])


def test_a_window_of_the_shop_is_read_again(project, dagster, first):
    theirs = sent(project)["orders"]
    times = sorted(order["updatedAt"] for order in theirs.values())
    since = times[len(times) // 2]
    some = [id_ for id_, order in theirs.items() if order["updatedAt"] > since]
    before = project.state()
    with duckdb.connect(str(project.warehouse)) as connection:
        connection.execute("delete from raw_shopify.orders where id in ?", [some])
    done = dagster.execute("reread", window("tap-shopify", "orders", since))
    assert done.code == 0, done.text
    run = dagster.runs()[0]
    assert dagster.metadata(run, "raw_shopify/orders")["rows_inserted"] == len(some)
    assert dagster.checks(run) == {("raw_shopify/orders", "reconcile"): True}
    assert {path: project.state()[path] for path in before} == before

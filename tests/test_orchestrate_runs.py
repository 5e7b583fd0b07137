"""The graph, run: what is on each asset, what a failure leaves, what is tried again."""

import json
import re

import duckdb
import psycopg
import pytest
from dagster import DagsterEventType, DagsterRunStatus
from dagster_project import Dagster
from headwater_project import kill, stuck


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


def test_nightly_makes_everything_and_ends_with_the_summary(project, dagster, first):
    assert "Every row arrived." in first.out
    (run,) = dagster.runs()
    assert run.status == DagsterRunStatus.SUCCESS
    made = dagster.materialized(run)
    assert len(made) == len(set(made))
    assert set(streams(project)) <= set(made)
    assert made[-1] == "warehouse_copy"
    assert {"marts/fct_orders", "reporting/total_sales"} <= set(made)
    checks = dagster.checks(run)
    assert all(checks.values())
    assert {(asset, "reconcile") for asset in streams(project)} <= set(checks)


def test_every_stream_is_a_table_of_the_live_catalog(project, dagster, first):
    done = project.meltano("--log-level", "warning", "invoke", "tap-postgres", "--discover")
    assert done.code == 0, done.text
    catalog = {stream["tap_stream_id"] for stream in json.loads(done.out)["streams"]}
    (run,) = dagster.runs()[-1:]
    made = {key.removeprefix("raw_") for key in dagster.materialized(run) if key[:4] == "raw_"}
    assert made == {stream.replace("-", "/") for stream in catalog}


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
        assert said["dagster/row_count"] == inserted
        assert said["seconds"] > 0
    newest = dagster.metadata(run, "raw_rainbow/orders")["newest_replication_value"]
    with psycopg.connect(project.server.dsn) as connection:
        (at,) = connection.execute("select max(updated_at) from rainbow.orders").fetchone()
    assert newest.startswith(f"{at:%Y-%m-%dT%H:%M:%S}")


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
    # The others' rows of that day come with the next whole run.
    done = project.make("nightly")
    assert done.code == 0, done.text
    assert all(counts["lost"] == 0 for counts in done.table.values())
    assert done.table["rainbow-order_details"]["inserted"] > 0


def test_a_retry_loads_only_the_rest(project, dagster, first):
    running = project.start("make", "--assume-old=.venv/.synced", "nightly")
    with stuck(project, "headwater-tap-postgres", "--catalog") as connection:
        connection.execute(
            "select pg_terminate_backend(pid) from pg_locks where not granted and pid is not null"
        )
    done = project.end(running)
    assert done.code == 0, done.text
    run = dagster.runs()[0]
    (retried,) = dagster.events(run, DagsterEventType.STEP_UP_FOR_RETRY)
    assert retried.step_key == "tap_postgres"
    made = dagster.materialized(run)
    assert len(made) == len(set(made))
    assert set(streams(project)) <= set(made)
    log = (project.output / "logs" / run.run_id / "tap_postgres.log").read_text()
    once, again = _attempts(log)
    assert once[-1] == "rainbow-orders"
    assert set(again) == set(streams(project).values()) - set(once[:-1])


def _attempts(log):
    return [
        re.findall(r"Beginning (?:\w+ )*sync of '([\w-]+)'", attempt)
        for attempt in log.split("Running command:")[1:]
    ]


def test_a_tap_that_fails_for_good_leaves_what_was_committed(project, dagster, first):
    running = project.start("make", "--assume-old=.venv/.synced", "nightly")
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


def test_dbt_does_not_build_on_a_stream_that_lost_rows(project, dagster, first):
    with duckdb.connect(str(project.warehouse)) as connection:
        connection.execute("delete from raw_rainbow.order_details where order_id % 7 = 0")
    done = project.make("nightly")
    assert done.code != 0
    run = dagster.runs()[0]
    checks = dagster.checks(run)
    failed = {asset for (asset, check), passed in checks.items() if not passed}
    assert failed == {"raw_rainbow/order_details"}
    assert checks["raw_rainbow/orders", "reconcile"]
    assert "staging/stg_rainbow__order_details" not in dagster.materialized(run)
    assert "warehouse_copy" not in dagster.materialized(run)
    # What it says to do mends it, and the next night goes through.
    repaired = project.meltano("run", "--full-refresh", "tap-postgres", "target-duckdb")
    assert repaired.code == 0, repaired.text
    done = project.make("nightly")
    assert done.code == 0, done.text

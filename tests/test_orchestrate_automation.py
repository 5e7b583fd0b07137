"""What happens by itself: what is made outside of Dagster is seen, what depends on it follows."""

import datetime as dt
import json
import os
import sqlite3
import time
import uuid
from types import SimpleNamespace

import dagster as dg
import pytest
from dagster._core.events import StepMaterializationData
from dagster_project import Dagster, imported
from headwater_project import project_in

ORDERS = dg.AssetKey(["raw_rainbow", "orders"])
MODEL = dg.AssetKey(["marts", "fct_orders"])
COPY = dg.AssetKey(["warehouse_copy"])
SALES = dg.AssetKey(["reports", "sales_dashboard"])
NOTED = dg.AssetKey(["headwater", "loads"])


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    for project in project_in(tmp_path_factory.mktemp("project")):
        Dagster(project)
        with imported(project):
            yield project


@pytest.fixture(scope="module")
def defs(project):
    from orchestrate.definitions import defs

    return defs


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def report(instance, *keys):
    for key in keys:
        instance.report_runless_asset_event(dg.AssetMaterialization(key))


@pytest.fixture
def made(defs, instance):
    """Everything was made once, in order; a function that says what is to follow more."""
    graph = defs.resolve_asset_graph()
    report(instance, *graph.toposorted_asset_keys)
    cursor = None

    def requested(*keys, at=None):
        nonlocal cursor
        report(instance, *keys)
        result = dg.evaluate_automation_conditions(
            defs, instance, cursor=cursor, evaluation_time=at
        )
        cursor = result.cursor
        return {found.key for found in result.results if not found.true_subset.is_empty}

    requested()
    return requested


def test_what_depends_on_a_stream_is_made_once(made):
    first = made(ORDERS)
    assert {MODEL, COPY, SALES} <= first
    assert ORDERS not in first
    assert dg.AssetKey(["marts", "fct_facilities"]) not in first
    assert dg.AssetKey(["fact_sales_days"]) not in first
    assert made() == set()


def test_what_was_made_by_hand_after_its_inputs_is_not_made_again(defs, made):
    graph = defs.resolve_asset_graph()
    assert made(*graph.toposorted_asset_keys) == set()


def test_what_shows_the_pipeline_follows_each_load(made):
    assert dg.AssetKey(["marts", "fct_loads"]) in made(NOTED)


def begin(defs, instance):
    """A run of the nightly job's that has made nothing yet."""
    nightly = defs.resolve_job_def("nightly")
    return instance.create_run_for_job(nightly, status=dg.DagsterRunStatus.STARTED)


def test_nothing_is_made_while_the_night_makes_it_nor_after(defs, instance, made):
    run = begin(defs, instance)
    assert made(ORDERS) == set()
    keys = defs.resolve_job_def("nightly").asset_layer.executable_asset_keys
    for key in defs.resolve_asset_graph().toposorted_asset_keys:
        if key in keys:
            event = dg.DagsterEvent(
                "ASSET_MATERIALIZATION",
                "nightly",
                event_specific_data=StepMaterializationData(dg.AssetMaterialization(key)),
            )
            instance.report_dagster_event(event, run.run_id)
    instance.report_run_failed(run)
    assert made() == set()


def test_nothing_is_made_of_a_stream_that_lost_rows(instance, made):
    instance.report_runless_asset_event(dg.AssetMaterialization(ORDERS))
    instance.report_runless_asset_event(dg.AssetCheckEvaluation(ORDERS, "reconcile", passed=False))
    assert made() == set()


@pytest.fixture
def look(project, defs, instance):
    """A function that lets the sensor look once; what it reports, in order, or why not."""
    for path in (project.root / ".meltano/meltano.db", project.output / "dbt/target"):
        path.parent.mkdir(parents=True, exist_ok=True)
    (project.output / "headwater-read.duckdb").unlink(missing_ok=True)
    sensor, cursor = defs.resolve_sensor_def("made_outside"), None

    def once():
        nonlocal cursor
        found = sensor(dg.build_sensor_context(instance, cursor))
        if isinstance(found, dg.SkipReason):
            return found.skip_message
        cursor = found.cursor
        for event in found.asset_events:
            instance.report_runless_asset_event(event)
        return [event.asset_key.to_user_string() for event in found.asset_events]

    return once


@pytest.fixture
def synced(project):
    """A function that notes a sync as Meltano does."""
    path = project.root / ".meltano/meltano.db"
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    connection = sqlite3.connect(path)
    columns = 'job_name, run_id, state, payload, started_at, ended_at, "trigger"'
    connection.execute(f"create table runs ({columns})")

    def now():
        return dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M:%S.%f")

    def note(
        *streams,
        state="SUCCESS",
        trigger=None,
        name="dev:tap-postgres-to-target-duckdb",
        read=None,
    ):
        bookmarks = {stream: {"replication_key_value": "2026-06-30"} for stream in streams}
        payload = json.dumps({"singer_state": {"bookmarks": bookmarks}})
        started_at = now()
        catalog = project.root / ".meltano/run/tap-postgres/tap.properties.json"
        catalog.parent.mkdir(parents=True, exist_ok=True)
        found = [
            {"tap_stream_id": stream, "selected": read is None or stream in read}
            for stream in streams
        ]
        catalog.write_text(json.dumps({"streams": found}))
        os.utime(catalog, (time.time(), time.time()))  # the system's own time of a file lags
        row = (name, str(uuid.uuid4()), state, payload, started_at, now(), trigger)
        connection.execute(f"insert into runs ({columns}) values (?, ?, ?, ?, ?, ?, ?)", row)
        connection.commit()

    yield note
    connection.close()


def test_a_sync_by_hand_is_reported_once(look, synced):
    synced("rainbow-orders", "lana-customers")
    reported = look()
    assert set(reported[:2]) == {"raw_rainbow/orders", "raw_lana/customers"}
    assert {"headwater/loads", "headwater/reconciliations"} <= set(reported[2:])
    assert look() == []
    synced("rainbow-orders")
    synced("rainbow-orders", "lana-customers")
    synced("lana-customers", name="dev:tap-postgres-to-target-duckdb:repair")
    assert set(look()[:2]) == {"raw_rainbow/orders", "raw_lana/customers"}


def test_of_a_sync_by_hand_only_what_it_read_is_reported(look, synced):
    both = ("rainbow-orders", "lana-customers")
    synced(*both, read=["lana-customers"])
    reported = look()
    assert reported[0] == "raw_lana/customers"
    assert "raw_rainbow/orders" not in reported
    # What a sync read is not known any more after the next one.
    synced(*both, read=["lana-customers"])
    synced(*both, read=[], state="FAIL")
    assert set(look()[:2]) == {"raw_rainbow/orders", "raw_lana/customers"}


def test_dagster_s_own_syncs_failed_ones_and_another_environment_s_are_not(look, synced):
    synced("rainbow-orders", trigger="dagster")
    synced("rainbow-orders", state="FAIL")
    synced("rainbow-orders", name="prod:tap-postgres-to-target-bigquery")
    assert look() == []


def build(project, environment=None, **results):
    path = project.output / "dbt/target/run_results.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    about = {
        "generated_at": dt.datetime.now(dt.UTC).isoformat(),
        "invocation_id": str(uuid.uuid4()),
        "env": environment or {},
    }
    made = [
        {"unique_id": f"model.headwater.{name}", "status": status}
        for name, status in results.items()
    ]
    path.write_text(json.dumps({"metadata": about, "results": made}))


def test_a_build_by_hand_is_reported_once_with_what_it_made(project, look):
    build(project, fct_orders="success", fact_sales="error", int_persons="success")
    assert look() == ["marts/fct_orders", "intermediate/int_persons"]
    assert look() == []
    build(project, {"DAGSTER_RUN_ID": "7"}, fct_orders="success")
    assert look() == []


def test_a_copy_that_is_newer_than_dagster_s_is_reported_once(project, instance, look):
    copy = project.output / "headwater-read.duckdb"
    copy.touch()
    assert look() == ["warehouse_copy"]
    assert look() == []
    later = time.time() + 60
    os.utime(copy, (later, later))
    assert look() == ["warehouse_copy"]


def test_while_a_run_is_under_way_nothing_is_reported(project, look, synced):
    synced("rainbow-orders")
    lock = project.output / "run.lock"
    lock.write_text(f"{os.getpid()}, since 02:00:00")
    assert look() == f"a run is under way (process {os.getpid()}, since 02:00:00)"
    lock.unlink()
    assert look()[0] == "raw_rainbow/orders"


@pytest.fixture
def fresh(defs, instance, monkeypatch):
    """A function that runs the check of a stream's freshness so many hours from now."""
    from orchestrate import freshness

    now, key = time.time(), dg.AssetCheckKey(ORDERS, "freshness")
    job = defs.resolve_implicit_global_asset_job_def().get_subset(
        asset_selection=set(), asset_check_selection={key}
    )

    def after(hours):
        monkeypatch.setattr(freshness, "time", SimpleNamespace(time=lambda: now + 3600 * hours))
        (found,) = job.execute_in_process(instance=instance).get_asset_check_evaluations()
        return found.passed or found.severity.name

    return after


def test_a_source_is_late_and_then_wrong(instance, fresh):
    assert fresh(0) == "ERROR"
    report(instance, ORDERS)
    assert [fresh(hours) for hours in (1, 25, 27, 49, 51)] == [True, True, "WARN", "WARN", "ERROR"]


def test_freshness_is_looked_at_each_hour_but_not_while_the_night_loads(defs, instance, made):
    checks = {key for key in defs.resolve_asset_graph().asset_check_keys if key.name == "freshness"}
    hour = dt.datetime.now(dt.UTC).replace(minute=30) + dt.timedelta(hours=1)
    assert made(at=hour) == checks
    assert made(at=hour + dt.timedelta(minutes=20)) == set()
    begin(defs, instance)
    assert made(at=hour + dt.timedelta(hours=1)) == set()

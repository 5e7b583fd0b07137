"""The graph as it is declared: against the selection, the manifest, and the last one seen."""

import fcntl
import json
import os
import sys

import pytest
import yaml
from dagster_project import Dagster
from headwater_project import ROOT, project_in, until

SNAPSHOT = json.loads((ROOT / "tests/fixtures/definitions.json").read_text())
SCRIPT = str(ROOT / "tests/definitions_snapshot.py")
ASSETS = SNAPSHOT["assets"]
# Nothing may be asked over the network, and the warehouse not be opened.
ALONE = """
import sys
def refuse(event, arguments):
    if event == "socket.connect" or (event == "open" and str(arguments[0]).endswith(".duckdb")):
        raise SystemExit(f"{event} {arguments}")
sys.addaudithook(refuse)
import duckdb
def connect(*arguments, **options):
    raise SystemExit(f"duckdb {arguments}")
duckdb.connect = connect
import orchestrate.definitions
"""
# A dbt that stops in the middle of writing its manifest.
HALFWAY = """#!/bin/sh
echo "$@" >> calls
printf '{"nodes": ' > "$DBT_TARGET_PATH/manifest.json"
cat gate
printf '{}}' >> "$DBT_TARGET_PATH/manifest.json"
"""
# Loads what is parsed; says first that it asks for the lock.
LOAD = """
import sys
sys.addaudithook(lambda event, _: event == "fcntl.flock" and open(sys.argv[1], "w").close())
from orchestrate.transform import manifest
print(manifest())
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    for project in project_in(tmp_path_factory.mktemp("project")):
        Dagster(project)
        yield project


def taken(project, **environment):
    done = project.run(sys.executable, SCRIPT, **environment)
    assert done.code == 0, done.text
    return json.loads(done.out)


@pytest.fixture(scope="module")
def now(project):
    return taken(project)


@pytest.fixture(scope="module")
def manifest(project, now):
    return json.loads((project.output / "dagster/dbt/duckdb/manifest.json").read_text())


def selected():
    """Stream names by tap, from the files alone."""
    return {
        plugin["name"]: {p.split(".")[0] for p in plugin["select"] if not p.startswith("!")}
        for path in (ROOT / "extract").glob("*.meltano.yml")
        for plugin in yaml.safe_load(path.read_text())["plugins"].get("extractors", ())
    }


def test_the_graph_is_the_one_last_seen(now):
    assert now == SNAPSHOT, f"if that is meant: {SCRIPT} > tests/fixtures/…"


def test_every_selected_stream_has_an_asset_and_its_source(project):
    streams = selected()
    postgres = [stream.replace("-", "/") for stream in streams["tap-postgres"]]
    sources = {f"raw_{path}": f"postgres/{path}" for path in postgres}
    sources |= {f"raw_shopify/{name}": f"shopify/{name}" for name in streams["tap-shopify"]}
    assert {key for key in ASSETS if key.startswith("raw_")} == sources.keys()
    for loaded, source in sources.items():
        assert ASSETS[loaded]["deps"] == [source]
        assert ASSETS[loaded]["checks"][-1] == "reconcile (blocking)"
        assert not ASSETS[source]["executable"]


def test_every_model_has_its_upstream_and_nothing_is_orphaned(manifest):
    nodes = [
        n for n in manifest["nodes"].values() if n["resource_type"] in ("model", "snapshot", "seed")
    ]
    dbt = {key for key, asset in ASSETS.items() if "dbt" in asset["kinds"]}
    assert len(dbt) == len(nodes)
    # The calendar is made of nothing.
    assert {key for key in dbt if not ASSETS[key]["deps"]} == {"marts/dim_dates"}
    read = {dep for asset in ASSETS.values() for dep in asset["deps"]}
    assert read <= ASSETS.keys()
    ends = {key for key in ASSETS if key.startswith("reports/")}
    assert ASSETS.keys() - read == ends | {"fact_sales_days"}


def test_every_dbt_test_is_a_check(manifest):
    tests = {n["name"] for n in manifest["nodes"].values() if n["resource_type"] == "test"}
    checks = {check.split(" ")[0] for asset in ASSETS.values() for check in asset["checks"]}
    assert checks == tests | {"reconcile", "freshness"}


def test_what_dbt_says_of_a_table_is_on_its_asset():
    for key, asset in ASSETS.items():
        if asset["executable"]:
            assert asset["owners"], key
            assert asset["pools"] == ["warehouse"], key
        if "dbt" in asset["kinds"]:
            assert asset["columns"], key
            assert asset["automated"], key
        if key.startswith("raw_"):
            assert "freshness" in asset["checks"], key
            assert not asset["automated"], key
        assert asset["described"], key


def test_there_is_one_schedule_and_it_is_meltano_s(project):
    (declared,) = yaml.safe_load((ROOT / "meltano.yml").read_text())["schedules"]
    timezone = declared["annotations"]["headwater"]["timezone"]
    assert SNAPSHOT["schedules"] == {
        declared["name"]: [declared["interval"], timezone, "STOPPED"],
    }


def test_in_prod_everything_runs_by_itself_and_bigquery_is_loaded(project):
    # dbt parses without a connection; no account is there.
    prod = taken(
        project,
        MELTANO_ENVIRONMENT="prod",
        GCP_PROJECT_ID="acme",
        HEADWATER_WEBHOOK_URL="http://127.0.0.1:1/hook",
    )
    # People read BigQuery itself, not a copy of it.
    assert prod["assets"].keys() == SNAPSHOT["assets"].keys() - {"warehouse_copy"}
    assert [status for *_, status in prod["schedules"].values()] == ["RUNNING"]
    assert set(prod["sensors"].values()) == {"RUNNING"}
    assert prod["assets"]["raw_rainbow/orders"]["kinds"] == ["bigquery", "singer"]


def test_a_table_added_to_the_selection_is_an_asset(project, now):
    manifest = project.output / "dagster/dbt/duckdb/manifest.json"
    parsed = manifest.stat().st_mtime_ns
    path = project.root / "extract/extractors.meltano.yml"
    before = path.read_text()
    path.write_text(
        before.replace("    - rainbow-sellers.*\n", "    - rainbow-sellers.*\n    - lana-x.*\n")
    )
    try:
        assert taken(project)["assets"]["raw_lana/x"]["deps"] == ["postgres/lana/x"]
        path.write_text(before.replace("- rainbow-sellers.*", "- rainbow-*.*"))
        refused = project.run(sys.executable, SCRIPT)
    finally:
        path.write_text(before)
    assert manifest.stat().st_mtime_ns == parsed, "dbt has parsed what had not changed"
    assert refused.code == 1
    assert "tap-postgres selects rainbow-*: name each stream, for its asset" in refused.err


def test_loading_connects_to_nothing(project, now):
    done = project.run(sys.executable, "-c", ALONE)
    assert done.code == 0, done.text
    assert not project.warehouse.exists()


def test_dbt_parses_what_changed(project, now):
    manifest = project.output / "dagster/dbt/duckdb/manifest.json"
    before = manifest.stat().st_mtime_ns
    model = project.root / "transform/models/reporting/total_sales.sql"
    text = model.read_text()
    try:
        model.write_text(f"{text}\n-- changed")
        taken(project)
        assert manifest.stat().st_mtime_ns > before
        model.write_text("{{ ref('nowhere') }}")
        refused = project.run(sys.executable, SCRIPT)
    finally:
        model.write_text(text)
    assert refused.code == 1
    assert "dbt parse failed" in refused.err
    assert "nowhere" in refused.err


@pytest.fixture
def parsing(tmp_path):
    """A fresh project that two processes load at once, with such a dbt; and they."""
    for project in project_in(tmp_path):
        Dagster(project)
        path = tmp_path / "bin/dbt"
        path.parent.mkdir()
        path.write_text(HALFWAY)
        path.chmod(0o755)
        os.mkfifo(project.root / "gate")
        search = {"PATH": f"{path.parent}{os.pathsep}{project.environment['PATH']}"}
        yield (
            project,
            [
                project.start(sys.executable, "-c", LOAD, f"asked-{name}", **search)
                for name in ("webserver", "daemon")
            ],
        )


def test_one_process_parses_and_no_other_reads_what_is_half_written(parsing):
    project, loads = parsing
    calls = project.root / "calls"

    def parses():
        return calls.read_text().splitlines() if calls.exists() else []

    def both_asked():
        return parses() and len([*project.root.glob("asked-*")]) == len(loads)

    # Without a lock, the other one parses as well, or fails on what there is.
    def ran():
        return len(parses()) > 1 or any(load.poll() is not None for load in loads)

    until(lambda: both_asked() or ran(), "both at the lock")
    assert not ran()
    lock = (project.output / "dagster/dbt/duckdb/manifest.lock").open()
    with lock, pytest.raises(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    (project.root / "gate").write_text("")
    for done in map(project.end, loads):
        assert done.code == 0, done.text
        assert done.out == "{'nodes': {}}\n"
    assert parses() == ["--no-use-colors parse"]

"""What happens by itself: the schedule, after a kill, after a sync by hand."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psutil
import pytest
from dagster import DagsterEventType, DagsterRunStatus
from dagster_project import MODULE, Dagster
from headwater_project import kill, stuck, until

pytestmark = pytest.mark.slow

EVERY_MINUTE = "'* * * * *'"
SUCCESS, FAILURE = DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE


@pytest.fixture(scope="module")
def told():
    """A webhook, and what it was sent."""
    texts = []

    class Webhook(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            texts.append(json.loads(body)["text"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Webhook) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        texts.append(f"http://127.0.0.1:{server.server_port}/hook")
        yield texts
        server.shutdown()


@pytest.fixture(scope="module")
def dagster(project, told):
    """Dagster with its daemon, and the schedule moved to every minute."""
    path = project.root / "meltano.yml"
    path.write_text(path.read_text().replace("interval: 0 2 * * *", f"interval: {EVERY_MINUTE}"))
    project.environment["HEADWATER_WEBHOOK_URL"] = told.pop()
    dagster = Dagster(project)
    dagster.start_daemon()
    yield dagster
    for process in project.processes("dagster"):
        process.kill()


def switch(project, kind, name, how):
    done = project.run("dagster", kind, how, name, *MODULE)
    assert done.code == 0, done.text


def seen(dagster, status, what, count=1):
    """Wait for so many runs of a status; the newest of them."""
    return until(
        lambda: (
            (runs := [r for r in dagster.runs() if r.status == status])[count - 1 :] and runs[0]
        ),
        what,
    )


def worker(dagster, run):
    """The process of a run."""
    events = dagster.events(run, DagsterEventType.ENGINE_EVENT)
    pids = [
        e.engine_event_data.metadata["pid"].value
        for e in events
        if "pid" in e.engine_event_data.metadata
    ]
    return psutil.Process(int(pids[-1]))


def test_the_schedule_fires_and_a_killed_run_makes_way_for_the_next(project, dagster, told):
    switch(project, "schedule", "nightly", "start")
    run = seen(dagster, DagsterRunStatus.STARTED, "a scheduled run")
    assert run.tags["dagster/schedule_name"] == "nightly"
    with stuck(project, "headwater-tap-postgres", "--catalog"):
        kill([worker(dagster, run)])
        seen(dagster, FAILURE, "the killed run as failed")
    done = seen(dagster, SUCCESS, "the next one, by itself")
    switch(project, "schedule", "nightly", "stop")
    assert done.tags["dagster/schedule_name"] == "nightly"
    assert done.run_id != run.run_id
    assert "reporting/total_sales" in dagster.materialized(done)
    assert until(lambda: told[1:], "both messages")
    failed, recovered = told[:2]
    assert failed.startswith("Headwater: nightly failed.")
    assert f"/runs/{run.run_id}|" in failed
    assert recovered.startswith("Headwater: nightly runs again.")
    assert f"/runs/{done.run_id}|" in recovered
    dagster.drain()


def test_killed_with_everything_the_next_run_starts_by_itself(project, dagster):
    before = len(dagster.runs())
    dagster.launch()
    run = seen(dagster, DagsterRunStatus.STARTED, "a run")
    with stuck(project, "headwater-tap-postgres", "--catalog"):
        # The pool has room for one: the next waits in the queue.
        dagster.launch()
        following = dagster.runs()[0]
        kill([worker(dagster, run), *project.processes("dagster")])
    assert len(dagster.runs()) == before + 2
    assert dagster.run(run).status == DagsterRunStatus.STARTED
    assert dagster.run(following).status == DagsterRunStatus.QUEUED
    dagster.start_daemon()
    until(lambda: dagster.run(following).status == SUCCESS, "the next run")
    assert dagster.run(run).status == FAILURE


def test_what_depends_on_a_sync_by_hand_is_refreshed_once(project, dagster):
    switch(project, "sensor", "made_outside", "start")
    switch(project, "sensor", "refresh", "start")
    before = {run.run_id for run in dagster.runs()}
    project.tick()
    done = project.meltano("run", "tap-postgres", "target-duckdb")
    assert done.code == 0, done.text
    run = until(
        lambda: next(
            (r for r in dagster.runs() if r.run_id not in before and r.status == SUCCESS), None
        ),
        "the refresh",
    )
    assert run.tags["dagster/from_automation_condition"] == "true"
    made = dagster.materialized(run)
    assert {"staging/stg_rainbow__orders", "marts/fct_orders", "warehouse_copy"} <= set(made)
    assert not [asset for asset in made if asset.startswith("raw_")]
    # A build by hand, too, is seen; it is not done again.
    done = project.make("run")
    assert done.code == 0, done.text
    (built,) = until(lambda: dagster.outside("marts/fct_orders"), "the build by hand")
    assert built.description == "Built by dbt, outside of Dagster."
    (once, again) = dagster.outside("raw_rainbow/orders")
    assert once.description == again.description == "Loaded by Meltano, outside of Dagster."
    dagster.ticks("refresh", 2)
    assert {r.run_id for r in dagster.runs()} == before | {run.run_id}

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
    dagster.drain()
    assert done.tags["dagster/schedule_name"] == "nightly"
    assert done.run_id != run.run_id
    assert "reporting/total_sales" in dagster.materialized(done)
    # The reports tell the night's numbers there, too.
    failed, recovered, *_ = until(
        lambda: (of_runs := [text for text in told if "/runs/" in text])[1:] and of_runs,
        "both messages",
    )
    assert failed.startswith("Headwater: nightly failed.")
    assert f"/runs/{run.run_id}|" in failed
    assert recovered.startswith("Headwater: nightly runs again.")
    assert f"/runs/{done.run_id}|" in recovered


ORDERS = {"tap": "tap-postgres", "streams": ["rainbow-orders"], "since": "2025-06-01T00:00:00Z"}
WINDOW = {"ops": {"window": {"config": ORDERS}}}


@pytest.mark.parametrize("killed", ["the daemon", "everything"])
def test_after_a_kill_the_next_run_starts_by_itself(project, dagster, killed):
    run = dagster.launch("reread", WINDOW)
    with stuck(project, "headwater-tap-postgres", "--catalog"):
        # The pool has room for one: the next waits in the queue.
        following = dagster.launch("reread", WINDOW)
        daemons = project.processes("dagster-daemon")
        if killed == "everything":
            kill([worker(dagster, run), *project.processes("dagster")])
        else:
            kill(daemons)
        assert dagster.run(run).status == DagsterRunStatus.STARTED
        assert dagster.run(following).status == DagsterRunStatus.QUEUED
        # As a service manager does.
        dagster.start_daemon()
        if killed == "everything":
            # What it had started holds the lock, and would wait for the table for ever.
            until(lambda: dagster.run(run).status == FAILURE, "the killed run as failed")
            until(lambda: not project.processes("headwater-tap-postgres"), "the end of its tap")
    until(lambda: dagster.run(following).status == SUCCESS, "the next run")
    assert dagster.run(run).status == (FAILURE if killed == "everything" else SUCCESS)


def refreshed(dagster):
    """The runs that automation has started to make something, not to check it."""
    return [
        run
        for run in dagster.runs()
        if "dagster/from_automation_condition" in run.tags and run.asset_selection
    ]


def test_what_depends_on_a_sync_by_hand_is_refreshed_once(project, dagster):
    for sensor in ("made_outside", "refresh"):
        switch(project, "sensor", sensor, "start")
    dagster.ticks("refresh", 2)
    assert refreshed(dagster) == []
    project.tick()
    done = project.meltano("run", "tap-postgres", "target-duckdb")
    assert done.code == 0, done.text
    (run,) = until(lambda: refreshed(dagster), "the refresh")
    until(lambda: dagster.run(run).is_finished, "its end")
    assert dagster.run(run).status == SUCCESS, dagster.errors(run)
    made = dagster.materialized(run)
    assert {"staging/stg_rainbow__orders", "marts/fct_orders", "marts/fct_loads"} <= set(made)
    assert {"warehouse_copy", "reports/sales_dashboard"} <= set(made)
    assert not [asset for asset in made if asset.startswith("raw_")]
    # A build by hand, too, is seen, and the reports of it; nothing is done again.
    done = project.make("run")
    assert done.code == 0, done.text
    (built,) = until(lambda: dagster.outside("marts/fct_orders"), "the build by hand")
    assert built.description == "Built by dbt, outside of Dagster."
    (opened,) = until(lambda: dagster.outside("reports/sales_dashboard"), "its reports")
    assert opened.description == "Made outside of Dagster."
    (again, once) = dagster.outside("raw_rainbow/orders")
    assert once.description == again.description == "Loaded by Meltano, outside of Dagster."
    dagster.ticks("refresh", 2)
    assert [found.run_id for found in refreshed(dagster)] == [run.run_id]
    for sensor in ("made_outside", "refresh"):
        switch(project, "sensor", sensor, "stop")

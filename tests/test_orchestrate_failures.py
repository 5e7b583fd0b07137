"""What fails, in each way: what is tried again, what is left, what a person is told."""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import dagster as dg
import psutil
import pytest
from dagster._core.events import EngineEventData
from dagster._core.launcher import WorkerStatus
from dagster_project import Dagster, imported
from headwater_project import ROOT, project_in

SECRET = "shpat_hunter2"  # pragma: allowlist secret
REFUSED = 'Error: connection to server at "10.0.0.1", port 5432 failed: Connection refused'
WRONG = 'Error: connection to server failed: FATAL: password authentication failed for user "me"'
SHOP = ["orders", "customers", "products", "product_variants", "transactions", "order_refunds"]
LOAD = ["run", "--force", "tap-postgres", "target-duckdb"]
COMPARE = ["run", "--force", "reconcile:check"]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Nothing of it runs but `orchestrate`, here; Meltano is one that does what it is told to."""
    for project in project_in(tmp_path_factory.mktemp("project")):
        Dagster(project)
        project.environment |= {
            "PATH": f"{ROOT / 'tests/fixtures/bin'}{os.pathsep}{project.environment['PATH']}",
            "PLAYS": str(project.root / "plays"),
            "SHOPIFY_ACCESS_TOKEN": SECRET,
        }
        with imported(project):
            yield project


@pytest.fixture
def play(project):
    """A function that loads the taps' streams and compares them, each call of Meltano's as told;
    what came of it."""
    from orchestrate.commands import Meltano
    from orchestrate.extract_load import loaded_streams, reconciled
    from orchestrate.project import declared_job

    project.warehouse.unlink(missing_ok=True)
    plays = project.root / "plays"

    def load(*told, taps=("tap-postgres",), **options):
        plays.write_text("\n".join(map(json.dumps, told)))
        plays.with_suffix(".calls").unlink(missing_ok=True)
        job, noted = declared_job("dev"), [dg.AssetKey("loads")]
        result = dg.materialize(
            [*(loaded_streams(tap, job, {}, noted) for tap in taps), reconciled(job), model],
            instance=dg.DagsterInstance.ephemeral(),
            resources={"meltano": Meltano(), "turn": None},
            raise_on_error=False,
            **options,
        )
        assert not plays.read_text(), "it was not called as often"
        return SimpleNamespace(
            success=result.success,
            made=[e.asset_key.to_user_string() for e in result.get_asset_materialization_events()],
            checks={
                check.asset_key.to_user_string(): check
                for check in result.get_asset_check_evaluations()
            },
            retries=[e.step_key for e in result.all_events if "RETRY" in e.event_type_value],
            said="\n".join(
                event.step_failure_data.user_failure_data.description
                for event in result.get_step_failure_events()
                if event.step_failure_data.user_failure_data
            ),
            calls=[
                json.loads(line) for line in plays.with_suffix(".calls").read_text().splitlines()
            ],
            logs=project.output / "logs" / result.run_id,
        )

    return load


@dg.asset(deps=[["raw_rainbow", "orders"]])
def model():
    pass


@pytest.fixture(scope="module")
def names(project):
    """The streams, in order, by the name of their asset."""
    from orchestrate.project import streams

    return {"/".join(stream.table): stream.name for stream in streams("tap-postgres")}


def line(step, said):
    """As Meltano logs it."""
    return f"2026-06-30T02:00:00.000000Z [info     ] {step:<12} {said}"


def fails(step, said, **play):
    return play | {"code": 1, "says": [line(step, said)]}


def whole(streams):
    return {"loaded": streams, "begun": streams}


def alike(streams):
    return {"compared": dict.fromkeys(streams, 0)}


def test_after_a_network_error_only_the_rest_is_loaded(play, names):
    every = [*names.values()]
    done = play(
        # What is committed of the fifth need not be all of it.
        fails("tap-postgres", REFUSED, **whole(every[:5])),
        whole(every[4:]),
        alike(every),
    )
    assert done.success
    assert set(done.retries) == {"tap_postgres"}
    assert done.calls == [
        {"words": LOAD, "only": None},
        {"words": LOAD, "only": every[4:]},
        {"words": COMPARE, "only": None},
    ]
    assert done.made == ["loads", *[*names][:4], "loads", *[*names][4:], "model"]
    assert {asset: check.passed for asset, check in done.checks.items()} == dict.fromkeys(
        names, True
    )


def test_wrong_credentials_are_not_tried_again_and_what_was_committed_is_left(play, names):
    done = play(fails("tap-postgres", WRONG, **whole([*names.values()][:5])))
    assert not done.success
    assert done.retries == []
    assert done.made == ["loads", *[*names][:4]]
    assert done.checks == {}
    assert done.said.startswith(f"tap-postgres: {WRONG.removeprefix('Error: ')}\n")
    assert f"full log: {done.logs / 'tap_postgres.log'})" in done.said


def test_a_comparison_that_failed_is_done_again_without_a_load(play, names):
    every = [*names.values()]
    lost = fails("reconcile", "Error: the connection is lost")
    done = play(whole(every), lost, alike(every))
    assert done.success
    assert set(done.retries) == {"reconcile"}
    assert [call["words"] for call in done.calls] == [LOAD, COMPARE, COMPARE]
    assert done.made == ["loads", *names, "model"]


def test_a_stream_that_lost_rows_is_red_and_not_tried_again(play, names):
    every, said = [*names.values()], "rainbow-orders: 7 lost: id = 1, 2, …"
    told = {"compared": dict.fromkeys(every, 0) | {"rainbow-orders": 7}}
    done = play(whole(every), fails("reconcile", said, **told))
    assert not done.success
    assert done.retries == []
    (red,) = (asset for asset, check in done.checks.items() if not check.passed)
    assert red == "raw_rainbow/orders"
    assert done.checks[red].metadata["lost"].value == 7
    assert done.checks[red].description.startswith(f"reconcile: {said}\n")
    assert "model" not in done.made


def test_a_stream_that_could_not_be_compared_is_no_success(play, names):
    every, said = [*names.values()], "rainbow-orders: the source has no such table any more"
    told = {"compared": dict.fromkeys(every, 0) | {"rainbow-orders": None}}
    done = play(whole(every), fails("reconcile", said, **told))
    assert not done.success
    assert done.said.startswith(f"reconcile: {said}\n")
    assert done.checks.keys() == names.keys() - {"raw_rainbow/orders"}
    assert "model" not in done.made


def test_a_shop_that_fails_leaves_the_other_tap_s_streams(play, names):
    every = [*names.values()]
    done = play(
        whole(every),
        fails("tap-shopify", WRONG, **whole(SHOP[:2])),
        taps=["tap-postgres", "tap-shopify"],
    )
    assert not done.success
    assert done.made == ["loads", *names, "loads", "raw_shopify/orders"]


def test_only_chosen_streams_are_loaded_and_checked(play, names):
    key = dg.AssetKey(["raw_rainbow", "orders"])
    done = play(whole(["rainbow-orders"]), alike(names.values()), selection=[key])
    assert done.calls[0] == {"words": LOAD, "only": ["rainbow-orders"]}
    assert done.checks.keys() == {"raw_rainbow/orders"}
    alone = dg.AssetSelection.checks(dg.AssetCheckKey(key, "reconcile"))
    done = play(alike(names.values()), selection=alone)
    assert done.calls == [{"words": COMPARE, "only": None}]
    assert done.checks.keys() == {"raw_rainbow/orders"}


def test_the_error_is_the_tap_s_own_last_words_without_secrets(play):
    done = play(
        {
            "code": 1,
            "says": [
                line("tap-shopify", "INFO Syncing stream: orders"),
                line("tap-shopify", "CRITICAL HTTPError"),
                line("tap-shopify", "Traceback (most recent call last):"),
                line("tap-shopify", '  File "client.py", line 1, in call_api'),
                line("tap-shopify", f"urllib.error.HTTPError: HTTP Error 401: {SECRET}"),
                "Error: Extractor failed",
            ],
        },
        taps=["tap-shopify"],
    )
    first, *_ = done.said.splitlines()
    assert first == "tap-shopify: HTTPError: HTTP Error 401: ***"
    log = (done.logs / "tap_shopify.log").read_text()
    assert SECRET not in log
    assert "Traceback (most recent call last):" in log


def test_a_throttled_shop_is_asked_again(play):
    words = "CRITICAL Invalid bulk operation response: {'errors': [{'message': 'Throttled'}]}"
    done = play(
        fails("tap-shopify", words),
        whole(SHOP),
        alike(SHOP),
        taps=["tap-shopify"],
    )
    assert done.success
    assert set(done.retries) == {"tap_shopify"}


def test_a_log_without_an_error_is_shown_at_its_end(play):
    done = play({"code": 137, "says": [line("tap-postgres", f"row {n}") for n in range(50)]})
    shown = done.said.splitlines()
    assert len(shown) < 25
    assert shown[-3].endswith("row 49")
    assert "exit code 137" in shown[-1]


@pytest.mark.parametrize(
    ("said", "again"),
    [
        ("connection to server at 10.0.0.1 failed: Connection refused", True),
        ("server closed the connection unexpectedly", True),
        ("terminating connection due to administrator command", True),
        ("connection failed: FATAL: the database system is starting up", True),
        ("FATAL: sorry, too many clients already", True),
        ("canceling statement due to lock timeout", True),
        ("deadlock detected", True),
        ("10.0.0.1: Connection refused (check POSTGRES_HOST, _PORT, _USER, _PASSWORD)", True),
        ("acme.myshopify.com cannot be asked: timed out", True),
        ("acme.myshopify.com answers 503 Service Unavailable; check SHOPIFY_SHOP", True),
        ("HTTPError: HTTP Error 500: Internal Server Error", True),
        ("429 Client Error: Too Many Requests for url: https://acme", True),
        ("IncompleteRead(12 bytes read, 7 more expected)", True),
        ("Bulk operation failed: TIMEOUT", True),
        ("BigQuery: Exceeded rate limits: too many table update operations", True),
        ("BigQuery: POST https://bigquery/jobs: 503 backendError", True),
        ("the warehouse w.duckdb is held by python (42) since more than 60 s", True),
        ("IO Error: Could not set lock on file w.duckdb: Conflicting lock is held", True),
        (f"{REFUSED}; {WRONG}", False),
        ("no pg_hba.conf entry for host 10.0.0.2", False),
        ('relation "rainbow.orders" does not exist', False),
        ("HTTPError: HTTP Error 401: Unauthorized", False),
        ("HTTPError: HTTP Error 403: Forbidden, then 503: Service Unavailable", False),
        ("Access denied for customers field", False),
        ("Bulk operation failed: ACCESS_DENIED", False),
        ("This model has an enforced contract that failed", False),
        ("rainbow-orders.timeout: the column is BIGINT and cannot become VARCHAR", False),
        ("BigQuery: of 503 rows BigQuery took 500; run again", False),
        ("cannot make a temporary table: the disk is full", False),
        ("rainbow-orders: the field unavailable_from is not selected", False),
        ("Bulk operation failed: BAD_REQUEST", False),
    ],
)
def test_what_may_pass_is_tried_three_times_more_and_nothing_else(
    project, said, again, monkeypatch
):
    monkeypatch.setenv("HEADWATER_RETRY_SECONDS", "30")
    from orchestrate.commands import or_retry

    failure = dg.Failure(f"tap-postgres: {said}")
    steps = [SimpleNamespace(retry_number=n, log=logging.getLogger()) for n in range(4)]
    raised = [or_retry(step, failure) for step in steps]
    if again:
        assert [retry.seconds_to_wait for retry in raised[:3]] == [30, 60, 120]
    else:
        assert raised[:3] == [failure] * 3
    assert raised[3] is failure


@pytest.fixture
def webhook(project, monkeypatch):
    """What a webhook is sent; it refuses what has the word "refuse" in it."""
    texts = []

    class Webhook(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            texts.append(json.loads(body)["text"])
            self.send_response(403 if "refuse" in texts[-1] else 200)
            self.end_headers()

        def log_message(self, *_):
            pass

    from orchestrate import notify

    with ThreadingHTTPServer(("127.0.0.1", 0), Webhook) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(notify, "WEBHOOK", f"http://127.0.0.1:{server.server_port}/{SECRET}")
        yield texts
        server.shutdown()


@pytest.fixture
def runs():
    """A function that runs a job once, in one instance, to a failure or not, and tells of it."""
    from orchestrate.notify import tell_failure, tell_recovery

    instance = dg.DagsterInstance.ephemeral()

    @dg.op(config_schema={"why": dg.Noneable(str)})
    def step(context):
        if why := context.op_config["why"]:
            raise dg.Failure(why)

    @dg.job
    def nightly():
        step()

    def run(why=None):
        config = {"ops": {"step": {"config": {"why": why}}}}
        done = nightly.execute_in_process(config, instance=instance, raise_on_error=False)
        event = done.get_run_failure_event() if why else done.get_run_success_event()
        context = dg.build_run_status_sensor_context("told", event, instance, done.dagster_run)
        if why:
            tell_failure(context.for_run_failure())
        else:
            tell_recovery(context)
        return done.run_id

    return run


def test_a_failure_and_the_recovery_are_told_with_the_run_s_link(webhook, runs):
    runs()
    assert webhook == []
    first, second = runs("tap-postgres: the server is down"), runs("tap-postgres: it still is")
    recovered = runs()
    runs()
    link = "<http://127.0.0.1:3000/runs/{}|See the run>"
    assert webhook == [
        f"Headwater: nightly failed. {link.format(first)}\ntap-postgres: the server is down",
        f"Headwater: nightly failed. {link.format(second)}\ntap-postgres: it still is",
        f"Headwater: nightly runs again. {link.format(recovered)}",
    ]


def test_a_webhook_that_refuses_is_an_error_that_does_not_say_where_it_is(webhook, runs):
    with pytest.raises(Exception, match="it answers 403") as raised:
        runs("refuse this")
    assert SECRET not in str(raised.value)


@pytest.fixture
def launched(project):
    """A function that gives a run whose worker is the process, and whether it is seen to live."""
    from orchestrate.launcher import WatchedRunLauncher

    launcher, instance = WatchedRunLauncher(), dg.DagsterInstance.ephemeral()
    launcher.register_instance(instance)

    @dg.job
    def nightly():
        pass

    def health(pid, run=None):
        run = run or instance.create_run_for_job(nightly)
        instance.report_engine_event("", run, EngineEventData({"pid": str(pid)}))
        return run, launcher.check_run_worker_health(run).status

    return health


def test_a_run_without_its_process_has_failed_and_what_it_had_started_is_ended(launched):
    run, status = launched(os.getpid())
    assert status == WorkerStatus.RUNNING
    environment = os.environ | {"MELTANO_RUN_ID": run.run_id}
    of_run, other = (
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, env=env)
        for env in (environment, os.environ)
    )
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert launched(gone.pid, run)[1] == WorkerStatus.FAILED
    assert of_run.wait() == -signal.SIGKILL
    assert other.poll() is None
    other.communicate()


def test_another_process_of_the_same_number_is_not_the_run_s(launched, monkeypatch):
    created = psutil.Process().create_time()
    run, _ = launched(os.getpid())
    monkeypatch.setattr(psutil.Process, "create_time", lambda _: created + 1e6)
    assert launched(os.getpid(), run)[1] == WorkerStatus.FAILED

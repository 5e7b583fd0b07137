"""What Dagster knows of a project's runs, read from its own storage."""

import json
import os
import socket
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from subprocess import Popen

from dagster import AssetKey, DagsterEventType, DagsterInstance, DagsterRun, DagsterRunStatus
from headwater_project import Done, Project, until

MODULE = ("--module-name", "orchestrate.definitions")


class Dagster:
    """Dagster of one project; its home is the project's."""

    def __init__(self, project: Project):
        self.project = project
        self.folder = project.output / "dagster"
        project.environment |= {
            "DAGSTER_HOME": str(project.root / "orchestrate"),
            "HEADWATER_DAGSTER_DIR": str(self.folder),
            "HEADWATER_RETRY_SECONDS": "0",
            "PYTHONPATH": str(project.root),
        }

    def materialize(self, selection: str, *words: str, **environment: str) -> Done:
        return self.project.end(self.start(selection, *words, **environment))

    def start(self, selection: str, *words: str, **environment: str) -> Popen:
        """Start to materialize the assets."""
        command = ("dagster", "asset", "materialize", *MODULE, "--select", selection, *words)
        return self.project.start(*command, **environment)

    def execute(self, job: str, config: dict) -> Done:
        path = self.project.output / f"{job}.yaml"
        path.write_text(json.dumps(config))
        words = ("--job", job, "--config", str(path))
        return self.project.run("dagster", "job", "execute", *MODULE, *words)

    @contextmanager
    def instance(self) -> Iterator[DagsterInstance]:
        with DagsterInstance.local_temp(str(self.folder)) as instance:
            yield instance

    def runs(self) -> list[DagsterRun]:
        """The newest first."""
        with self.instance() as instance:
            return instance.get_runs()

    def run(self, run: DagsterRun) -> DagsterRun:
        """The run as it is now."""
        with self.instance() as instance:
            return instance.get_run_by_id(run.run_id)

    def events(self, run: DagsterRun, *types: DagsterEventType) -> list:
        with self.instance() as instance:
            logs = instance.all_logs(run.run_id, of_type=set(types) or None)
            return [log.dagster_event for log in logs if log.dagster_event]

    def materialized(self, run: DagsterRun) -> list[str]:
        """The assets of a run, in order, as often as they were made; not what is noted of it."""
        made = [
            event.asset_key.to_user_string()
            for event in self.events(run, DagsterEventType.ASSET_MATERIALIZATION)
        ]
        return [asset for asset in made if not asset.startswith("headwater/")]

    def metadata(self, run: DagsterRun, asset: str) -> dict:
        (found,) = (
            event.materialization.metadata
            for event in self.events(run, DagsterEventType.ASSET_MATERIALIZATION)
            if event.asset_key.to_user_string() == asset
        )
        return {name: value.value for name, value in found.items()}

    def checks(self, run: DagsterRun) -> dict[tuple[str, str], bool]:
        """By asset and check: whether it passed; not freshness, which is looked at each time."""
        return {
            (check.asset_key.to_user_string(), check.check_name): check.passed
            for event in self.events(run, DagsterEventType.ASSET_CHECK_EVALUATION)
            if (check := event.asset_check_evaluation_data) and check.check_name != "freshness"
        }

    def errors(self, run: DagsterRun) -> str:
        """What the failed steps of a run say, as the UI shows it."""
        return "\n".join(
            event.step_failure_data.error_display_string
            for event in self.events(run, DagsterEventType.STEP_FAILURE)
        )

    def outside(self, asset: str) -> list:
        """The materialisations of an asset that belong to no run here."""
        with self.instance() as instance:
            records = instance.fetch_materializations(AssetKey(asset.split("/")), limit=50).records
            known = {run.run_id for run in instance.get_runs()}
            return [r.asset_materialization for r in records if r.run_id not in known]

    def start_daemon(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        # Two processes that make Dagster's databases at once would collide.
        with self.instance() as instance:
            instance.get_runs(limit=1)
            instance.fetch_run_status_changes(DagsterEventType.RUN_START, limit=1)
            instance.all_instigator_state()
        self.project.start("dagster-daemon", "run", *MODULE)

    @contextmanager
    def webserver(self) -> Iterator[str]:
        """The UI; its address."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = str(free.getsockname()[1])
        listen = ("--host", "127.0.0.1", "--port", port)
        server = self.project.start("dagster-webserver", *MODULE, *listen)

        def answers() -> bool:
            assert server.poll() is None, self.project.end(server).text
            with suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/server_info").close()
                return True
            return False

        until(answers, "the UI")
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            self.project.end(server)

    def launch(self, job: str, config: dict) -> DagsterRun:
        """Queue a job, for the daemon to start."""
        words = ("--job", job, "--config-json", json.dumps(config))
        done = self.project.run("dagster", "job", "launch", *MODULE, *words)
        assert done.code == 0, done.text
        return self.runs()[0]

    def ask(self, url: str, query: str, **variables: object) -> dict:
        """What the webserver answers, as it does to the page in the browser."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(
            f"{url}/graphql", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request) as response:
            answer = json.load(response)
        assert "errors" not in answer, answer
        return answer["data"]

    def drain(self) -> None:
        """Drop what is queued, and wait until no run is left to end."""
        with self.instance() as instance:
            for run in self.runs():
                if run.status == DagsterRunStatus.QUEUED:
                    instance.report_run_canceled(run)
        until(lambda: all(run.is_finished for run in self.runs()), "the end of all runs")

    def ticks(self, sensor: str, count: int) -> None:
        """Wait until a sensor has looked so many times more."""
        with self.instance() as instance:
            (state,) = (s for s in instance.all_instigator_state() if s.instigator_name == sensor)

            def newest() -> int:
                ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1)
                return int(ticks[0].tick_id) if ticks else 0

            start = newest()
            until(lambda: newest() >= start + count, f"{count} ticks of {sensor}")


@contextmanager
def imported(project: Project) -> Iterator[None]:
    """The project's `orchestrate`, to be imported in this process; its environment while it is."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(project.environment)
    sys.path.insert(0, str(project.root))
    try:
        yield
    finally:
        sys.path.remove(str(project.root))
        for name in [name for name in sys.modules if name.split(".")[0] == "orchestrate"]:
            del sys.modules[name]
        os.environ.clear()
        os.environ.update(before)

"""Dagster's launcher of runs on its own machine, which also sees that a run's process is gone."""

from contextlib import suppress

import psutil
from dagster import DagsterEventType, DagsterRun
from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, WorkerStatus


class WatchedRunLauncher(DefaultRunLauncher):
    """Lets run monitoring end a run that was killed with all that would have noticed, and ends
    what such a run has started: it has the warehouse."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        events = self._instance.all_logs(run.run_id, of_type=DagsterEventType.ENGINE_EVENT)
        workers = [
            (int(pid.value), event.timestamp)
            for event in events
            if event.dagster_event
            and (pid := event.dagster_event.engine_event_data.metadata.get("pid"))
        ]
        if not workers or _lives(*workers[-1]):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if run.run_id in process.environ().values():
                    process.kill()
        return CheckRunHealthResult(WorkerStatus.FAILED, f"process {workers[-1][0]} is gone")


def _lives(pid: int, since: float) -> bool:
    """Whether a process is still the one that had this number at a time."""
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and process.create_time() <= since
    except psutil.NoSuchProcess:
        return False

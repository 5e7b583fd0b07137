"""Dagster's launcher of runs on its own machine, which also sees that a run's process is gone."""

import psutil
from dagster import DagsterEventType, DagsterRun
from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, WorkerStatus


class WatchedRunLauncher(DefaultRunLauncher):
    """Lets run monitoring end a run that was killed with all that would have noticed."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        events = self._instance.all_logs(run.run_id, of_type=DagsterEventType.ENGINE_EVENT)
        pids = [
            int(pid.value)
            for event in events
            if event.dagster_event
            and (pid := event.dagster_event.engine_event_data.metadata.get("pid"))
        ]
        if not pids or psutil.pid_exists(pids[-1]):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.FAILED, f"process {pids[-1]} is gone")

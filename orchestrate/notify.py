"""A failed run, and the first that ends well after one, told to a webhook (Slack's, or alike)."""

import os

import dagster as dg
from headwater_reports.message import post

WEBHOOK = os.environ.get("HEADWATER_WEBHOOK_URL")
UI = os.environ.get("HEADWATER_DAGSTER_URL", "http://127.0.0.1:3000")
STATUS = dg.DefaultSensorStatus.RUNNING if WEBHOOK else dg.DefaultSensorStatus.STOPPED
ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]


@dg.run_failure_sensor(
    name="tell_failure",
    description="Tells the webhook that a run failed, and why.",
    default_status=STATUS,
    minimum_interval_seconds=10,
)
def tell_failure(context: dg.RunFailureSensorContext) -> None:
    steps = [event.step_failure_data for event in context.get_step_failure_events()]
    said = [
        step.user_failure_data.description if step.user_failure_data else step.error.message
        for step in steps
        if step.user_failure_data or step.error
    ]
    _tell(context.dagster_run, "failed", *(said or [context.failure_event.message]))


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS,
    name="tell_recovery",
    description="Tells the webhook of the first run of a job that ends well after a failure.",
    default_status=STATUS,
    minimum_interval_seconds=10,
)
def tell_recovery(context: dg.RunStatusSensorContext) -> None:
    run = context.dagster_run
    filters = dg.RunsFilter(job_name=run.job_name, statuses=ENDED)
    ended = [r.run_id for r in context.instance.get_runs(filters)]
    before = ended[ended.index(run.run_id) + 1 :]
    if before and context.instance.get_run_by_id(before[0]).is_failure:
        _tell(run, "runs again")


def _tell(run: dg.DagsterRun, what: str, *why: str | None) -> None:
    """Send one message, with the run's link.

    Raises:
        NotTold: the webhook cannot be reached, or refuses it; the sensor's tick shows it.
    """
    lines = [f"Headwater: {run.job_name} {what}. <{UI}/runs/{run.run_id}|See the run>", *why]
    post(WEBHOOK or "", "\n".join(line for line in lines if line))

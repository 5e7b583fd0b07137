"""When things run by themselves: the schedule, what follows from new rows."""

import dagster as dg

from .project import ENVIRONMENT, MELTANO

# By itself in production; elsewhere a person turns it on.
RUNNING = ENVIRONMENT == "prod"
REFRESH = dg.AutomationCondition.eager()


NIGHTLY = dg.define_asset_job(
    "nightly",
    dg.AssetSelection.all(),
    description="Everything, from the sources to the copy that people read.",
    # The terminal gets what the tools say; the events are in the UI.
    config={"loggers": {"console": {"config": {"log_level": "ERROR"}}}},
)
(_declared,) = MELTANO["schedules"]
SCHEDULE = dg.ScheduleDefinition(
    name=_declared["name"],
    job=NIGHTLY,
    cron_schedule=_declared["interval"],
    execution_timezone=_declared["annotations"]["headwater"]["timezone"],
    default_status=dg.DefaultScheduleStatus.RUNNING
    if RUNNING
    else dg.DefaultScheduleStatus.STOPPED,
)

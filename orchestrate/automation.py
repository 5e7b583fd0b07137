"""When things run by themselves: the schedule, what follows from new rows."""

import dagster as dg

from .project import ENVIRONMENT, MELTANO

# By itself in production; elsewhere a person turns it on.
SCHEDULES, SENSORS = (
    (dg.DefaultScheduleStatus.RUNNING, dg.DefaultSensorStatus.RUNNING)
    if ENVIRONMENT == "prod"
    else (dg.DefaultScheduleStatus.STOPPED, dg.DefaultSensorStatus.STOPPED)
)
# When something it depends on changed, everything it depends on is there, nothing of it is being
# made, and no row is missing from it.
REFRESH = dg.AutomationCondition.eager() & ~dg.AutomationCondition.any_deps_match(
    dg.AutomationCondition.any_checks_match(
        dg.AutomationCondition.check_failed(), blocking_only=True
    )
)
REFRESHING = dg.AutomationConditionSensorDefinition(
    "refresh",
    target=dg.AssetSelection.all(),
    description="Models follow their streams, and the copy its models, when these change by day.",
    default_status=SENSORS,
)


NIGHTLY = dg.define_asset_job(
    "nightly",
    dg.AssetSelection.all() - dg.AssetSelection.groups("again"),
    description="Everything, from the sources to the copy that people read.",
    config={"loggers": {"console": {}}},  # ours; without a word of it, Dagster takes its own
)
(_declared,) = MELTANO["schedules"]
SCHEDULE = dg.ScheduleDefinition(
    name=_declared["name"],
    job=NIGHTLY,
    cron_schedule=_declared["interval"],
    execution_timezone=_declared["annotations"]["headwater"]["timezone"],
    default_status=SCHEDULES,
)

"""What a person does again: days of the sales, built; a window of a source, read."""

import json
import warnings
from collections.abc import Collection, Mapping
from typing import Any

import dagster as dg

from .audit import compared, loaded
from .commands import OWNERS, POOL, or_retry
from .extract_load import only, passes
from .history import sync_name
from .project import PLUGINS, Job, streams
from .transform import built

# A backfill policy is what Dagster calls beta.
warnings.filterwarnings("ignore", message="Parameter `backfill_policy`")
FIRST_DAY = "2024-07-01"
MODEL = "fact_sales"
SUFFIX = "repair"  # of the name of a state of its own


def sales_days(job: Job, manifest: Mapping[str, Any]) -> dg.AssetsDefinition:
    """Days of the sales; any number of them is one build."""

    @dg.asset(
        name=f"{MODEL}_days",
        partitions_def=dg.DailyPartitionsDefinition(FIRST_DAY, end_offset=1),
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name="again",
        owners=OWNERS,
        description="Builds the sales of the chosen days (UTC) again from the raw tables, and what "
        f"depends on `{MODEL}`. No night needs it.",
        pool=POOL,
        required_resource_keys={"meltano", "dbt", "turn"},
    )
    def rebuild(context: dg.AssetExecutionContext) -> None:
        days = context.partition_key_range
        chosen = json.dumps({"from_day": days.start, "to_day": days.end})
        # All that these models read comes first, up to date: days are built from the raw tables,
        # and compared with them. Tests that need yet other models are left out.
        which = ["--select", f"@{MODEL}", "--indirect-selection", "buildable"]
        for event in built(context, manifest, ["build", *which, "--vars", chosen]):
            # They are of those assets, which have no days.
            context.log_event(event)
        step = context.op_execution_context
        try:
            step.resources.meltano.run(step, *job.ending)
        except dg.Failure as failure:
            raise or_retry(step, failure) from None

    return rebuild


class Window(dg.Config):
    """Which rows to read again: those of some streams that changed since a time."""

    tap: str
    streams: list[str]
    since: str


def reread(job: Job, noted: Collection[dg.AssetKey]) -> dg.JobDefinition:
    """A job that loads a window again, beside the nights: with a state of its own.

    `noted`: what changes with each load beside the streams.
    """

    @dg.op(pool=POOL, required_resource_keys={"meltano", "turn"})
    def window(context: dg.OpExecutionContext, config: Window) -> None:
        _known([config.tap], job.loaders, "there is no")
        tables = {stream.name: dg.AssetKey(stream.table) for stream in streams(config.tap)}
        _known(config.streams, tables, f"{config.tap} selects no")
        run, loader = context.resources.meltano.run, job.loaders[config.tap]
        repair = ("--full-refresh", f"--state-id-suffix={SUFFIX}", *job.loads[config.tap])
        start = {f"{config.tap.upper().replace('-', '_')}_START_DATE": config.since}
        failure = None
        try:
            run(context, *repair, **only(config.tap, config.streams), **start)
            run(context, *job.checks)
        except dg.Failure as raised:
            failure = raised
        found = compared(context, config.streams)
        sync = sync_name(config.tap, loader, f":{SUFFIX}")
        after = loaded(context, config.streams, sync, failed=bool(failure and not found))
        for key in noted if after else ():
            context.log_event(dg.AssetMaterialization(key))
        for stream, metadata in after.items():
            context.log_event(dg.AssetMaterialization(tables[stream], metadata=metadata))
        for stream, row in found.items():
            result = {"passed": passes(row), "metadata": row, "blocking": True}
            context.log_event(dg.AssetCheckEvaluation(tables[stream], "reconcile", **result))
        if failure:
            # Rows that are lost are no less so a minute later.
            compares = set(config.streams) <= found.keys()
            raise failure if compares else or_retry(context, failure)

    (example, *_) = PLUGINS["extractors"]

    @dg.job(
        name="reread",
        description="Reads a window of a source again. The nights' state stays where it is.",
        config={
            "ops": {
                "window": {
                    "config": {
                        "tap": example,
                        "streams": [stream.name for stream in streams(example)],
                        "since": f"{FIRST_DAY}T00:00:00Z",
                    }
                }
            }
        },
    )
    def job_() -> None:
        window()

    return job_


def _known(asked: Collection[str], known: Collection[str], what: str) -> None:
    """Raises Failure if something that is asked for is not there."""
    if unknown := [name for name in asked if name not in known]:
        raise dg.Failure(
            f"{what} {', '.join(unknown)}: choose from {', '.join(known)}", allow_retries=False
        )

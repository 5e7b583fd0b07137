"""What a person does again: days of the sales, built; a window of a source, read."""

import datetime as dt
import json
import warnings
from collections.abc import Collection, Mapping
from typing import Any

import dagster as dg

from .commands import or_retry
from .extract_load import OWNERS, POOL, audit, only
from .project import PLUGINS, Job, streams
from .transform import built

# A backfill policy is what Dagster calls beta.
warnings.filterwarnings("ignore", message="Parameter `backfill_policy`")
FIRST_DAY = "2024-07-01"
MODEL = "fact_sales"


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
        words = ["build", "--select", f"{MODEL}+", "--vars"]
        chosen = json.dumps({"from_day": days.start, "to_day": days.end})
        for event in built(context, manifest, [*words, chosen]):
            # They are of those assets, which have no days.
            context.log_event(event)
        try:
            context.resources.meltano.run(context, *job.ending)
        except dg.Failure as failure:
            raise or_retry(context, failure) from None

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
        known = {stream.name: stream for stream in streams(config.tap)}
        if unknown := set(config.streams) - known.keys():
            raise dg.Failure(
                f"{config.tap} selects no {', '.join(sorted(unknown))}: "
                f"choose from {', '.join(known)}",
                allow_retries=False,
            )
        run = context.resources.meltano.run
        loader, name = job.loaders[config.tap], config.tap.upper().replace("-", "_")
        repair = ("--full-refresh", "--state-id-suffix=repair", config.tap, loader)
        start = {f"{name}_START_DATE": config.since}
        started, failure = dt.datetime.now(dt.UTC), None
        try:
            run(context, *repair, **only(config.tap, config.streams), **start)
            run(context, *job.checks)
        except dg.Failure as raised:
            failure = raised
        after = audit(context, config.streams, started, failed=failure is not None)
        for key in noted if after.complete else ():
            context.log_event(dg.AssetMaterialization(key))
        for stream in config.streams:
            key = dg.AssetKey(known[stream].table)
            if stream in after.complete:
                metadata = after.metadata(stream)
                context.log_event(dg.AssetMaterialization(key, metadata=metadata))
            if stream in after.reconciled:
                context.log_event(after.evaluation(key, stream))
        if failure:
            # Rows that are lost are no less so a minute later.
            compared = set(config.streams) <= after.reconciled.keys()
            raise failure if compared else or_retry(context, failure)

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

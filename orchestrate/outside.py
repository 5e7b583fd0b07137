"""What was made outside of Dagster, from the histories that Meltano and dbt keep, and files."""

import datetime as dt
import json
import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from .history import sync_name, syncs
from .project import Job, streams
from .run import LOCK, holder
from .transform import Translator

BY_HAND = """
state = 'SUCCESS' and coalesce("trigger", '') <> 'dagster' and ended_at > :since
"""
BEFORE_ALL = "0001-01-01 00:00:00"
SUCCESS = ("success", "warn")


def history(
    job: Job,
    manifest: Mapping[str, Any],
    noted: Collection[dg.AssetKey],
    opened: dg.AssetsDefinition,
    status: dg.DefaultSensorStatus,
) -> dg.SensorDefinition:
    """A sensor that reports what was made by hand, so that what depends on it follows, once.

    `noted`: what changes with each sync beside its streams. `opened`: what people open.
    """

    @dg.sensor(
        name="made_outside",
        description="Reports what was loaded, built and published outside of Dagster.",
        minimum_interval_seconds=30,
        default_status=status,
    )
    def made_outside(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        if process := holder(LOCK):
            return dg.SkipReason(f"a run is under way (process {process})")
        cursor = json.loads(context.cursor or "{}")
        synced, cursor["meltano"] = _synced(job, cursor.get("meltano", BEFORE_ALL))
        built, cursor["dbt"] = _built(manifest, cursor.get("dbt", BEFORE_ALL))
        if synced:
            synced += map(dg.AssetMaterialization, noted)
        # In the order in which they depend on each other.
        made = [*synced, *built, *_published(context.instance, opened)]
        return dg.SensorResult(asset_events=made, cursor=json.dumps(cursor))

    return made_outside


def _synced(job: Job, since: str) -> tuple[list[dg.AssetMaterialization], str]:
    """The streams of Meltano's syncs that ended since then, and when the last did."""
    done = syncs(BY_HAND, since=since)
    found = {}
    for sync in done:
        for tap, loader in job.loaders.items():
            # One with a suffix has a state of its own, and the same tables.
            if f"{sync.name}:".startswith(f"{sync_name(tap, loader)}:"):
                read = sync.read(tap)
                found |= {
                    stream.table: (sync, sync.newest.get(stream.name))
                    for stream in streams(tap)
                    if stream.name in read
                }
    return [
        dg.AssetMaterialization(
            dg.AssetKey(table),
            description="Loaded by Meltano, outside of Dagster.",
            metadata={"meltano_run_id": sync.run_id}
            | ({"newest_replication_value": newest} if newest else {}),
        )
        for table, (sync, newest) in found.items()
    ], done[-1].ended_at if done else since


def _built(manifest: Mapping[str, Any], since: str) -> tuple[list[dg.AssetMaterialization], str]:
    """What dbt's newest build made, if that was by hand and since then, and when it was."""
    path = Path(os.environ["DBT_TARGET_PATH"], "run_results.json")
    try:
        results = json.loads(path.read_text())
        about = results["metadata"]
        at = dt.datetime.fromisoformat(about["generated_at"]).strftime("%Y-%m-%d %H:%M:%S.%f")
    except (OSError, ValueError):  # none yet, or it is being written
        return [], since
    if at <= since or "DAGSTER_RUN_ID" in about["env"]:
        return [], since
    translator = Translator()
    return [
        dg.AssetMaterialization(
            translator.get_asset_spec(manifest, result["unique_id"], None).key,
            description="Built by dbt, outside of Dagster.",
            metadata={"invocation_id": about["invocation_id"]},
        )
        for result in results["results"]
        if result["status"] in SUCCESS
        and result["unique_id"] in manifest["nodes"]
        and result["unique_id"].startswith(("model.", "snapshot.", "seed."))
    ], at


def _published(
    instance: dg.DagsterInstance, opened: dg.AssetsDefinition
) -> Iterator[dg.AssetMaterialization]:
    """What people open, where its file is newer than what Dagster knows of it."""
    for spec in opened.specs:
        path = spec.metadata.get("file")
        known = instance.get_latest_materialization_event(spec.key)
        if path and Path(path.value).exists():
            made_at = Path(path.value).stat().st_mtime
            if not known or made_at > known.timestamp:
                yield dg.AssetMaterialization(spec.key, description="Made outside of Dagster.")

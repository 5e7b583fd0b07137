"""One asset for each selected Singer stream: `meltano run` loads them, and reconciles."""

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import dagster as dg

from .audit import compared, loaded
from .commands import OWNERS, POOL, or_retry
from .history import sync_name
from .project import PLUGINS, Job, streams


def source_tables(tap: str) -> list[dg.AssetSpec]:
    """What the tap reads from, outside of this project."""
    namespace = PLUGINS["extractors"][tap]["namespace"]
    return [
        dg.AssetSpec(
            dg.AssetKey(stream.source),
            group_name="_".join(stream.source[:-1]),
            kinds={namespace},
            description=f"Read by {tap} as `{stream.name}`.",
        )
        for stream in streams(tap)
    ]


def loaded_streams(
    tap: str,
    job: Job,
    described: Mapping[dg.AssetKey, Mapping[str, Any]],
    noted: Collection[dg.AssetKey],
) -> dg.AssetsDefinition:
    """A tap's streams: any of them, in one `meltano run`.

    `described`: what dbt's sources say of them, as attributes of their assets. `noted`: what
    changes with each load beside them.
    """
    loader = job.loaders[tap]
    sync = sync_name(tap, loader)
    keys = {stream.name: dg.AssetKey(stream.table) for stream in streams(tap)}

    @dg.multi_asset(
        name=tap.replace("-", "_"),
        specs=[
            dg.AssetSpec(
                dg.AssetKey(stream.table),
                deps=[dg.AssetKey(stream.source)],
                group_name=stream.table[0],
                kinds={"singer", PLUGINS["loaders"][loader]["namespace"]},
                owners=OWNERS,
                skippable=True,
                **described.get(dg.AssetKey(stream.table), {}),
            )
            for stream in streams(tap)
        ],
        can_subset=True,
        pool=POOL,
        required_resource_keys={"meltano", "turn"},
    )
    def load(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
        step = context.op_execution_context
        before = loaded(step, keys, sync, failed=True) if step.retry_number else {}
        chosen = [name for name, key in keys.items() if key in context.selected_asset_keys]
        rest = [name for name in chosen if name not in before]
        failure = None
        try:
            part = only(tap, rest) if len(rest) < len(keys) else {}
            step.resources.meltano.run(step, *job.loads[tap], **part)
        except dg.Failure as raised:
            failure = raised
        after = loaded(step, rest, sync, failed=failure is not None)
        for key in noted if after else ():
            step.log_event(dg.AssetMaterialization(key))
        for name, metadata in after.items():
            yield dg.MaterializeResult(keys[name], metadata=metadata)
        if failure:
            raise or_retry(step, failure)

    return load


def reconciled(job: Job) -> dg.AssetChecksDefinition:
    """Whether each stream's table has what its source has: all are compared, whichever is asked
    for."""
    names = {dg.AssetKey(s.table): s.name for tap in job.loaders for s in streams(tap)}

    @dg.multi_asset_check(
        name="reconcile",
        specs=[
            dg.AssetCheckSpec(
                "reconcile",
                asset=key,
                blocking=True,
                description="Every key of the source is in the warehouse, and none is older.",
            )
            for key in names
        ],
        can_subset=True,
        pool=POOL,
        required_resource_keys={"meltano", "turn"},
    )
    def reconcile(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        step = context.op_execution_context
        asked = {names[check.asset_key]: check for check in context.selected_asset_check_keys}
        failure = None
        try:
            step.resources.meltano.run(step, *job.checks)
        except dg.Failure as raised:
            failure = raised
        found = compared(step, asked)
        for name, row in found.items():
            yield dg.AssetCheckResult(
                asset_key=asked[name].asset_key,
                check_name="reconcile",
                passed=passes(row),
                metadata=row,
                description=failure.description if failure and not passes(row) else None,
            )
        if failure and asked.keys() - found.keys():
            raise or_retry(step, failure)

    return reconcile


def passes(row: Mapping[str, Any]) -> bool:
    return row["mode"] == "off" or row["lost"] == 0


def only(tap: str, names: Collection[str]) -> dict[str, str]:
    """The setting that keeps a tap to some of its streams; the state keeps the others'."""
    return {f"{tap.upper().replace('-', '_')}__SELECT_FILTER": json.dumps(names)}

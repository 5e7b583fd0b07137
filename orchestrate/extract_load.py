"""One asset for each selected Singer stream: `meltano run` loads them, and reconciles."""

import datetime as dt
import json
import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
from headwater_reconcile.warehouse import open_warehouse
from headwater_target_warehouse.errors import LoadError
from headwater_target_warehouse.warehouse import AUDIT_SCHEMA, AUDIT_TABLES

from .commands import Context, or_retry
from .project import PLUGINS, ROOT, Job, streams

POOL = "warehouse"
OWNERS = ["team:data-engineering"]
LOADED = """
select
    stream,
    sum(rows_received) as rows_received,
    sum(rows_inserted) as rows_inserted,
    sum(rows_updated) as rows_updated,
    sum(rows_unchanged) as rows_unchanged,
    sum(rows_deleted) as rows_deleted,
    sum(bytes) as bytes,
    sum(seconds) as seconds
from {loads}
where run_id = '{run_id}'
group by stream
"""
BEGUN = "select stream from {streams} where run_id = '{run_id}' order by seen_at"
RECONCILED = """
select *
from {reconciliations}
where run_id = '{run_id}' and reconciled_at >= cast('{since}' as timestamp)
qualify row_number() over (partition by stream order by reconciled_at desc) = 1
"""


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
    by_key = {dg.AssetKey(stream.table): stream for stream in streams(tap)}
    every = {stream.name for stream in by_key.values()}
    kinds = {"singer", PLUGINS["loaders"][loader]["namespace"]}

    @dg.multi_asset(
        name=tap.replace("-", "_"),
        specs=[
            dg.AssetSpec(
                key,
                deps=[dg.AssetKey(stream.source)],
                group_name=stream.table[0],
                kinds=kinds,
                owners=OWNERS,
                skippable=True,
                **described.get(key, {}),
            )
            for key, stream in by_key.items()
        ],
        check_specs=[
            dg.AssetCheckSpec(
                "reconcile",
                asset=key,
                blocking=True,
                description="Every key of the source is in the warehouse, and none is older.",
            )
            for key in by_key
        ],
        can_subset=True,
        pool=POOL,
        required_resource_keys={"meltano", "turn"},
    )
    def load(context: dg.AssetExecutionContext) -> Iterator[Any]:
        chosen = {key: s for key, s in by_key.items() if key in context.selected_asset_keys}
        checked = {check.asset_key for check in context.selected_asset_check_keys}
        names = {by_key[key].name for key in chosen.keys() | checked}
        started = dt.datetime.now(dt.UTC)
        before = audit(context, every, started, failed=True) if context.retry_number else None
        rest = [s.name for s in chosen.values() if not (before and s.name in before.complete)]
        loading = (tap, loader) if rest else ()
        failure = None
        try:
            part = only(tap, rest) if 0 < len(rest) < len(every) else {}
            context.resources.meltano.run(context, *loading, *job.checks, **part)
        except dg.Failure as raised:
            failure = raised
        after = audit(context, every, started, failed=failure is not None)
        for key in noted if after.complete else ():
            context.log_event(dg.AssetMaterialization(key))
        for key, stream in chosen.items():
            if stream.name in rest and stream.name in after.complete:
                yield dg.MaterializeResult(asset_key=key, metadata=after.metadata(stream.name))
        for key, stream in by_key.items():
            if key in checked and stream.name in after.reconciled:
                yield after.check(key, stream.name)
        if failure and not names <= after.reconciled.keys():
            raise or_retry(context, failure)

    return load


def warehouse_file() -> Path:
    """DuckDB's file, where that is the warehouse."""
    return Path(ROOT, os.environ.get("DUCKDB_PATH", "output/headwater.duckdb"))


class Audit:
    """What the loader and reconcile noted of a run, for some streams.

    `complete`: what it loaded, by stream. Where the tap or the loader failed, the stream that was
    begun last is in doubt, whatever of it is committed. `reconciled`: how each stream compared
    since the step began, where it could be compared; another tap's step compares all streams, too.
    """

    def __init__(self, run_id: str, names: Collection[str], since: dt.datetime, *, failed: bool):
        self.reconciled: dict[str, dict[str, Any]] = {}
        self.complete: dict[str, dict[str, Any]] = {}
        warehouse = open_warehouse(warehouse_file(), lock_timeout=60, on_wait=print)
        if not warehouse:
            return
        with warehouse:
            warehouse.create_audit_tables()
            tables = {name: warehouse.quote(AUDIT_SCHEMA, name) for name in AUDIT_TABLES}

            def ask(sql: str) -> list[dict[str, Any]]:
                named = {"run_id": run_id, "since": since.strftime("%Y-%m-%d %H:%M:%S.%f")}
                rows = warehouse.query(sql.format(**named, **tables)).to_pylist()
                return [row for row in rows if row["stream"] in names]

            # DuckDB sums integers to decimals.
            self.complete = {
                row.pop("stream"): {k: v if k == "seconds" else int(v) for k, v in row.items()}
                for row in ask(LOADED)
            }
            compared = ask(RECONCILED)
            self.reconciled = {
                row["stream"]: row
                for row in compared
                if row["lost"] is not None or row["mode"] == "off"
            }
            begun = [row["stream"] for row in ask(BEGUN)]
        if failed and begun and not compared:
            self.complete.pop(begun[-1], None)

    def metadata(self, stream: str) -> dict[str, Any]:
        row = self.reconciled.get(stream, {})
        known = {
            "newest_replication_value": row.get("bookmark"),
            # A window's count is not the table's.
            "dagster/row_count": row.get("warehouse_rows") if row.get("mode") == "exact" else None,
        }
        return self.complete[stream] | {k: v for k, v in known.items() if v is not None}

    def evaluation(self, key: dg.AssetKey, stream: str) -> dg.AssetCheckEvaluation:
        """The check's result, for a run that is not the asset's own."""
        result = self.check(key, stream)
        return dg.AssetCheckEvaluation(
            asset_key=key, check_name="reconcile", passed=result.passed, metadata=result.metadata
        )

    def check(self, key: dg.AssetKey, stream: str) -> dg.AssetCheckResult:
        row = self.reconciled[stream]
        counts = ("mode", "source_rows", "warehouse_rows", "deleted", "later", "lost", "seconds")
        return dg.AssetCheckResult(
            asset_key=key,
            check_name="reconcile",
            passed=row["lost"] == 0 or row["mode"] == "off",
            metadata={name: row[name] for name in counts if row[name] is not None},
        )


def audit(context: Context, names: Collection[str], since: dt.datetime, *, failed: bool) -> Audit:
    """What is noted of this run; of comparisons, since its step began.

    Raises:
        Failure or RetryRequested: the warehouse cannot be opened.
    """
    try:
        return Audit(context.run.run_id, names, since, failed=failed)
    except LoadError as error:
        raise or_retry(context, dg.Failure(str(error), allow_retries=False)) from None


def only(tap: str, names: Collection[str]) -> dict[str, str]:
    """The setting that keeps a tap to some of its streams; the state keeps the others'."""
    return {f"{tap.upper().replace('-', '_')}__SELECT_FILTER": json.dumps(names)}

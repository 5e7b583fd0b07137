"""What the loader and reconcile noted in the warehouse of a run."""

import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

import dagster as dg
from headwater_reconcile.warehouse import open_warehouse
from headwater_target_warehouse.errors import LoadError
from headwater_target_warehouse.warehouse import AUDIT_SCHEMA, AUDIT_TABLES

from .commands import or_retry
from .history import newest_values
from .project import ROOT

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
COMPARED = """
select
    stream,
    mode,
    source_rows,
    warehouse_rows,
    deleted,
    later,
    lost,
    seconds
from {reconciliations}
where run_id = '{run_id}'
qualify row_number() over (partition by stream order by reconciled_at desc) = 1
"""
Rows = list[dict[str, Any]]


def warehouse_file() -> Path:
    """DuckDB's file, where that is the warehouse."""
    return Path(ROOT, os.environ.get("DUCKDB_PATH", "output/headwater.duckdb"))


def loaded(
    step: dg.OpExecutionContext, names: Collection[str], sync: str, *, failed: bool
) -> dict[str, dict[str, Any]]:
    """What the step's run has loaded whole, of some streams of a sync: counts, and how far it is.

    `failed`: the tap or the loader did. Then the stream that was begun last is in doubt, whatever
    of it is committed.
    """
    counted, begun = _ask(step, LOADED, BEGUN)
    rows = _of(names, counted)
    if failed and (seen := [row["stream"] for row in begun if row["stream"] in names]):
        rows.pop(seen[-1], None)
    newest = newest_values(sync)
    # DuckDB sums integers to decimals.
    return {
        stream: {k: v if k == "seconds" else int(v) for k, v in row.items()}
        | ({"newest_replication_value": newest[stream]} if newest.get(stream) else {})
        for stream, row in rows.items()
    }


def compared(step: dg.OpExecutionContext, names: Collection[str]) -> dict[str, dict[str, Any]]:
    """How source and warehouse compared in the step's run, of some streams; those that could not be
    compared are left out."""
    (rows,) = _ask(step, COMPARED)
    return {
        stream: {k: v for k, v in row.items() if v is not None}
        for stream, row in _of(names, rows).items()
        if row["lost"] is not None or row["mode"] == "off"
    }


def _of(names: Collection[str], rows: Rows) -> dict[str, dict[str, Any]]:
    found = {row.pop("stream"): row for row in rows}
    return {name: found[name] for name in names if name in found}


def _ask(step: dg.OpExecutionContext, *queries: str) -> list[Rows]:
    """The rows that each query finds; none where nothing was ever loaded.

    Raises:
        Failure or RetryRequested: the warehouse cannot be opened.
    """
    try:
        warehouse = open_warehouse(warehouse_file(), lock_timeout=60, on_wait=step.log.info)
        if not warehouse:
            return [[] for _ in queries]
        with warehouse:
            warehouse.create_audit_tables()
            tables = {name: warehouse.quote(AUDIT_SCHEMA, name) for name in AUDIT_TABLES}
            return [
                warehouse.query(query.format(run_id=step.run_id, **tables)).to_pylist()
                for query in queries
            ]
    except LoadError as error:
        raise or_retry(step, dg.Failure(str(error), allow_retries=False)) from None

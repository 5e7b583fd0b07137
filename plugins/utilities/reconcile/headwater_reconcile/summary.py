"""What a run did, as a person reads it."""

import datetime as dt
import json
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from headwater_reconcile.shopify import STREAMS as SHOP_STREAMS

WIDTH = 100
_COUNTS = ("source", "warehouse", "inserted", "updated", "deleted", "later", "lost")
_NEWEST = """
with newest as (select max(reconciled_at) as at from _headwater.reconciliations),
loaded as (
    select
        run_id,
        stream,
        sum(rows_inserted) as inserted,
        sum(rows_updated) as updated,
        sum(rows_deleted) as deleted,
        sum(seconds) as seconds
    from _headwater.loads
    group by run_id, stream
)
select
    r.stream,
    r.mode,
    r.source_rows as source,
    r.warehouse_rows as warehouse,
    coalesce(l.inserted, 0) as inserted,
    coalesce(l.updated, 0) as updated,
    coalesce(l.deleted, 0) + coalesce(r.deleted, 0) as deleted,
    r.later,
    r.lost,
    r.seconds + coalesce(l.seconds, 0) as seconds,
    l.seconds as load_seconds,
    r.note,
    r.reconciled_at
from _headwater.reconciliations as r
inner join newest as n on r.reconciled_at = n.at
left join loaded as l on r.run_id = l.run_id and r.stream = l.stream
order by r.stream
"""
_NOT_RECONCILED = """
select count(*) as n
from _headwater.loads
where loaded_at > (select max(reconciled_at) from _headwater.reconciliations)
"""

Query = Callable[[str], pa.Table]


def console() -> Console:
    """100 columns at most; as wide when what it prints goes to a file or a log."""
    made = Console(highlight=False, soft_wrap=False)
    made.width = min(made.width, WIDTH) if made.is_terminal else WIDTH
    return made


def print_table(out: Console, query: Query) -> None:
    """The newest reconciliation, a line per stream, and what it comes to."""
    rows = query(_NEWEST).to_pylist()
    if not rows:
        out.print("  Nothing has been reconciled yet.")
        return
    total = {name: sum(row[name] or 0 for row in rows) for name in (*_COUNTS, "seconds")}
    table = Table(box=SIMPLE_HEAD, show_footer=True, padding=(0, 0, 0, 1), header_style="dim")
    streams = f"{len(rows)} stream{'s' if len(rows) > 1 else ''}"
    table.add_column("stream", footer=streams, overflow="fold")
    for name in _COUNTS:
        table.add_column(name, footer=_number(name, total[name]), justify="right", no_wrap=True)
    table.add_column("seconds", footer=f"{total['seconds']:.1f}", justify="right", no_wrap=True)
    for row in rows:
        failed = row["lost"] or _is_unknown(row)
        table.add_row(
            Text(row["stream"], style="bold red" if failed else ""),
            *(_number(name, row[name]) for name in _COUNTS),
            f"{row['seconds']:.1f}",
        )
    out.print(table)
    for line, style in _verdict(rows, total):
        out.print(Padding(Text(line, style=style), (0, 0, 0, 2), expand=False))


def _number(name: str, value: int | None) -> Text:
    if value is None:
        return Text("–", style="dim")
    style = "bold red" if name == "lost" and value else "dim" if value == 0 else ""
    return Text(f"{value:,}", style=style)


def _is_unknown(row: dict) -> bool:
    return row["lost"] is None and row["mode"] != "off"


def _verdict(rows: list[dict], total: dict) -> list[tuple[str, str]]:
    lost = [row["stream"] for row in rows if row["lost"]]
    unknown = [row["stream"] for row in rows if _is_unknown(row)]
    partly = [f"{r['stream']} ({r['mode']})" for r in rows if r["mode"] != "exact"]
    lines = []
    if lost:
        lines.append((f"{total['lost']:,} rows lost: {', '.join(lost)}.", "bold red"))
    if unknown:
        lines.append((f"Not reconciled: {', '.join(unknown)}.", "bold red"))
    if lines:
        lines.append(("`meltano invoke reconcile check` says which, and what to do.", "red"))
    else:
        lines.append(("Every row arrived.", "bold green"))
    for note in dict.fromkeys(row["note"] for row in rows if row["note"]):
        lines.append((note, "yellow"))
    if total["later"] == 1:
        lines.append(("1 row changed after it was read: the next run brings it.", ""))
    elif total["later"]:
        later = f"{total['later']:,} rows changed after they were read"
        lines.append((f"{later}: the next run brings them.", ""))
    if partly:
        lines.append((f"Not compared whole: {', '.join(partly)}.", ""))
    return lines


def print_summary(
    out: Console, query: Query, dbt_target: Path, load_seconds: float | None = None
) -> None:
    """The table, how long the load from Postgres took, and the dbt result. `load_seconds`: what
    that load took with all that is around it."""
    rows = query(_NEWEST).to_pylist()
    reconciled_at = rows[0]["reconciled_at"].replace(tzinfo=dt.UTC) if rows else None
    when = f" · {reconciled_at:%-d %B %Y %H:%M} UTC" if reconciled_at else ""
    out.print()
    out.print(Text(f"  Source against warehouse{when}", style="bold"))
    print_table(out, query)
    if rows and query(_NOT_RECONCILED)["n"][0].as_py():
        out.print(Text("  Rows were loaded since then: they are not in this table.", "yellow"))
    out.print()
    _print_load(out, rows, load_seconds)
    _print_dbt(out, dbt_target / "run_results.json", reconciled_at)


def _fact(out: Console, name: str, text: str, style: str = "") -> None:
    out.print(Text.assemble((f"  {name:<11}", "dim"), (text, style)), soft_wrap=True)


def _print_load(out: Console, rows: list[dict], load_seconds: float | None) -> None:
    seconds = [
        row["load_seconds"]
        for row in rows
        if row["stream"] not in SHOP_STREAMS and row["load_seconds"] is not None
    ]
    if not seconds:
        return
    around = "with Meltano and the start of tap and loader"
    _fact(
        out,
        "Postgres",
        f"{len(seconds)} stream{'s' if len(seconds) > 1 else ''} in {sum(seconds):.1f} s"
        f"{f', {around} {load_seconds:.1f} s' if load_seconds else ''}",
    )


def _print_dbt(out: Console, path: Path, reconciled_at: dt.datetime | None) -> None:
    try:
        run = json.loads(path.read_text())
        results = [(r["unique_id"].split("."), r["status"]) for r in run["results"]]
        results = [made for made in results if made[0][0] != "exposure"]  # only declared
        finished = dt.datetime.fromisoformat(run["metadata"]["generated_at"])
        seconds = run["elapsed_time"]
    except (OSError, ValueError, KeyError):
        _fact(out, "dbt", "has not run")
        return
    kinds = Counter(kind.replace("_", " ") for (kind, *_), _ in results)
    hooks = {"operation": kinds.pop("operation", 0)}  # the first ones come before all models
    made = ", ".join(
        f"{n:,} {kind}{'s' if n > 1 else ''}" for kind, n in (kinds | hooks).items() if n
    )
    words = {
        "success": "ok",
        "pass": "ok",
        "warn": "warn",
        "skipped": "skip",
        "no-op": "skip",
    }
    ended = Counter(words.get(status, "error") for _, status in results)
    counts = ", ".join(f"{ended[word]:,} {word}" for word in ("ok", "warn", "error", "skip"))
    style = "bold red" if ended["error"] else "yellow" if ended["warn"] else "green"
    _fact(out, "dbt", f"{made or 'nothing'}: {counts} in {seconds:.1f} s", style)
    if reconciled_at and finished < reconciled_at:
        _fact(
            out,
            "",
            "of an earlier run: dbt has not run since these rows were loaded",
            "yellow",
        )
    for (kind, _, name, *_), status in results:
        if words.get(status) not in ("ok", "skip"):
            _fact(
                out,
                "",
                f"{status}: {kind} {name}",
                "yellow" if status == "warn" else "red",
            )


def print_bigquery(out: Console, project: str) -> None:
    """Where the data is, and how to look at it."""
    _fact(out, "warehouse", f"BigQuery, project {project}")
    _fact(out, "open it", f"https://console.cloud.google.com/bigquery?project={project}", "bold")


def print_files(out: Console, warehouse: Path, published: Path) -> None:
    """Where the data is, and how to look at it."""
    if warehouse.exists():
        _fact(out, "warehouse", f"{_shown(warehouse)} ({_size(warehouse)})")
    if published.exists():
        free = "free to be read at any time"
        _fact(out, "its copy", f"{_shown(published)} ({_size(published)}), {free}")
    path = _shown(published if published.exists() else warehouse)
    if shutil.which("duckdb"):
        _fact(out, "open it", f"duckdb -readonly {path}", "bold")
    else:
        _fact(out, "open it", "like this, then db.sql('show all tables')")
        command = f"import duckdb; db = duckdb.connect('{path}', True)"
        out.print(
            Text(f'    {_shown(Path(sys.executable))} -ic "{command}"', "bold"), soft_wrap=True
        )


def print_reports(out: Console, index: Path) -> None:
    """Where the reports are, if there are any."""
    if index.exists():
        _fact(out, "reports", f"{_shown(index)}, which `make reports` opens", "bold")
    out.print()


def _shown(path: Path) -> Path:
    """As short as it can be typed here."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _size(path: Path) -> str:
    size = path.stat().st_size
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"

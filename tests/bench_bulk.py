"""Postgres to a DuckDB file in bulk, beside others; `python tests/bench.py bulk` runs it.

A side is a command that brings the same tables into a DuckDB file of its own. It is measured from
its start to its end, with its imports and with whatever it asks of the database first. The sides
take turns, and the medians of their rounds are compared; the slow ones take fewer of them.

After each round the file is compared with the source: its rows, a checksum of each column, and one
of whole rows. A side that has not brought all of it has no ratio.
"""

import json
import shutil
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench_process import Cost, measure
from bench_tables import (
    COLUMNS,
    WIDE_COLUMNS,
    Tables,
    change,
    create,
    landed_checksums,
    source_checksums,
)
from headwater_project import Project, project_in

ROWS = (1_000_000, 10_000_000)
# What is asked of the pipe at that many rows: its time over the floor's at most, the best dlt's
# over its own at least.
LIMITS = {1_000_000: (None, 1.5), 10_000_000: (1.2, 2)}
MEMORY_LIMIT = 600  # MB
OTHERS = Path(__file__).with_name("bench_others.py")
OUTPUT = Path(__file__).parents[1] / "output"
PIPE, FLOOR = "tap | loader", "ADBC to DuckDB"

Metrics = list[dict[str, object]]


@dataclass(frozen=True)
class Side:
    """A command that brings tables into warehouse.duckdb of the folder it runs in, which is empty
    or as its last run has left it."""

    name: str
    rounds: int  # how often it is measured
    schema: str  # where the tables land
    command: Sequence[str | Path]
    environment: Mapping[str, str]

    def measure(self, folder: Path) -> Cost:
        warehouse = str(folder / "warehouse.duckdb")
        return measure(self.command, folder, {**self.environment, "DUCKDB_PATH": warehouse})


class Sides:
    """All that can move some tables of a project's server."""

    def __init__(self, project: Project, tables: Tables, key: str | None = None) -> None:
        """`key`: by which to find what has changed since the last run; without, all is read."""
        self._project = project
        self._tables = tables
        self._key = key
        self._login = {
            name: getattr(project.server, name)
            for name in ("host", "port", "user", "password", "database")
        }
        replication = {"replication-method": "FULL_TABLE"}
        if key:
            replication = {"replication-method": "INCREMENTAL", "replication-key": key}
        self._meltano = project.environment | {
            **{f"POSTGRES_{name.upper()}": str(value) for name, value in self._login.items()},
            "MELTANO_PROJECT_ROOT": str(project.root),
            "TAP_POSTGRES_FILTER_SCHEMAS": json.dumps([tables.schema]),
            "TAP_POSTGRES__SELECT": json.dumps([f"{tables.schema}-*.*"]),
            "TAP_POSTGRES__METADATA": json.dumps({"*": replication}),
        }

    def meltano(self, rounds: int) -> Side:
        command = ("meltano", "run", "tap-postgres", "target-duckdb")
        return Side("meltano run", rounds, f"raw_{self._tables.schema}", command, self._meltano)

    def pipe(self, rounds: int) -> Side:
        """The same two processes, without Meltano, but with what it gives them."""
        config, catalog = (self._dump(name, "tap-postgres") for name in ("config", "catalog"))
        return self._singer(PIPE, rounds, "headwater-tap-postgres", config, catalog)

    def stock(self, rounds: int) -> Side:
        """MeltanoLabs' tap, with the catalog that it finds itself, and this project's loader."""
        config = json.dumps(self._login | {"filter_schemas": [self._tables.schema]})
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(config)
            file.flush()
            catalog = json.loads(self._output("tap-postgres", "--config", file.name, "--discover"))
        for stream in catalog["streams"]:
            (root,) = (item for item in stream["metadata"] if not item["breadcrumb"])
            root["metadata"]["selected"] = True
        return self._singer(
            "stock tap | loader", rounds, "tap-postgres", config, json.dumps(catalog)
        )

    def dlt(self, backend: str, rounds: int) -> Side:
        return self._other(f"dlt, {backend}", rounds, "dlt", backend=backend, cursor=self._key)

    def floor(self, rounds: int) -> Side:
        return self._other(FLOOR, rounds, "floor")

    def _dump(self, name: str, plugin: str) -> str:
        return self._output("meltano", "invoke", f"--dump={name}", plugin)

    def _output(self, *command: str) -> str:
        done = self._project.run(*command, **self._meltano)
        assert done.code == 0, done.text
        return done.out

    def _singer(self, name: str, rounds: int, tap: str, config: str, catalog: str) -> Side:
        loader = json.loads(self._dump("config", "target-duckdb"))
        loader = json.dumps(loader | {"path": "warehouse.duckdb"})
        files = {"tap": config, "catalog": catalog, "loader": loader}
        folder = Path(tempfile.mkdtemp(dir=self._project.output))
        for file, text in files.items():
            (folder / f"{file}.json").write_text(text)
        script = (
            "set -e -o pipefail; [ -f state.json ] || echo {} > state.json; "
            f"{tap} --config {folder}/tap.json --catalog {folder}/catalog.json --state state.json "
            f"| target-duckdb --config {folder}/loader.json > states.jsonl; "
            "tail -n 1 states.jsonl > state.json"
        )
        schema = f"raw_{self._tables.schema}"
        return Side(name, rounds, schema, ("bash", "-c", script), self._project.environment)

    def _other(self, name: str, rounds: int, work: str, **options: str | None) -> Side:
        columns = {column: type_ for column, (type_, _) in self._tables.columns.items()}
        given = {
            "dsn": self._project.server.dsn,
            "schema": self._tables.schema,
            "tables": dict.fromkeys(self._tables.names, columns),
            **options,
        }
        command = (sys.executable, OTHERS, work, json.dumps(given))
        environment = self._project.environment | {
            "RUNTIME__DLTHUB_TELEMETRY": "false",
            "DLT_DATA_DIR": str(self._project.output),
            # One table after the other: else each of them has a connection.
            "EXTRACT__NEXT_ITEM_MODE": "fifo",
        }
        return Side(name, rounds, self._tables.schema, command, environment)


def compare(
    case: str,
    dsn: str,
    tables: Tables,
    sides: Sequence[Side],
    *,
    rows: int,
    starts: Mapping[str, Path] | None = None,
    limits: tuple[float | None, float | None] = (None, None),
) -> Metrics:
    """Measure the sides in turns, and print what they took, and the ratios.

    `rows`: how many a round moves. `starts`: by name, the folders that the sides go on from;
    without, they begin with nothing. `limits`: of the pipe's time over the floor's, at most, and
    of the best dlt's over the pipe's, at least.
    """
    expected = source_checksums(dsn, tables)
    costs: dict[str, list[Cost]] = {side.name: [] for side in sides}
    wanting = set()
    for turn in range(max(side.rounds for side in sides)):
        for side in sides:
            if turn >= side.rounds:
                continue
            with tempfile.TemporaryDirectory(dir=OUTPUT) as folder:
                if starts:
                    shutil.copytree(starts[side.name], folder, dirs_exist_ok=True)
                costs[side.name].append(side.measure(Path(folder)))
                landed = landed_checksums(Path(folder, "warehouse.duckdb"), side.schema, tables)
            if landed != expected:
                wanting.add(side.name)
    print(f"{case:<32}{'rows/s':>10}{'seconds':>10}{'CPU':>9}{'memory':>10}{'rounds':>9}")
    medians = {name: _median(measured) for name, measured in costs.items()}
    results: list[tuple[str, str, float, str]] = []
    for name, cost in medians.items():
        short = "  not all that the source has" if name in wanting else ""
        print(
            f"{name:<32}{rows / cost.seconds:>10,.0f}{cost.seconds:>8.2f} s{cost.cpu:>7.2f} s"
            f"{cost.memory:>7.0f} MB{len(costs[name]):>9}{short}"
        )
        results += [
            (name, "seconds", cost.seconds, "s"),
            (name, "cpu", cost.cpu, "s"),
            (name, "memory", cost.memory, "MB"),
        ]
    exact = {name: cost for name, cost in medians.items() if name not in wanting}
    others = {name: cost.seconds for name, cost in exact.items() if name.startswith("dlt")}
    ratios: list[tuple[str, str, str, float | None]] = []
    if PIPE in exact and FLOOR in exact:
        ratios.append((PIPE, FLOOR, "at most", limits[0]))
    if PIPE in exact and others:
        ratios.append((min(others, key=others.get), PIPE, "at least", limits[1]))
    for one, other, bound, limit in ratios:
        ratio = exact[one].seconds / exact[other].seconds
        asked = f"  ({bound} {limit} x)" if limit else ""
        print(f"  {f'{one} / {other}':<40}{ratio:>10.2f} x{asked}")
        results += [(f"{one} / {other}", "ratio", ratio, "x")]
        results += [(f"{one} / {other}", "ratio_limit", limit, "x")] if limit else []
    if PIPE in medians:
        peak = medians[PIPE].memory
        print(f"  {f'memory of {PIPE}':<40}{peak:>9.0f} MB  (at most {MEMORY_LIMIT} MB)")
    print(flush=True)
    return [
        {"case": f"{case}: {name}", "metric": metric, "value": round(value, 3), "unit": unit}
        for name, metric, value, unit in results
    ]


def _median(costs: Sequence[Cost]) -> Cost:
    """Medians of the times, and the most memory."""
    return Cost(
        statistics.median(cost.seconds for cost in costs),
        statistics.median(cost.cpu for cost in costs),
        max(cost.memory for cost in costs),
    )


def one_table(project: Project, tables: Tables) -> Metrics:
    """A table, whole. The stock tap takes ten times as long as any other side: it has one round,
    and none with the larger table."""
    sides = Sides(project, tables)
    is_large = tables.rows > ROWS[0]
    rounds = 3 if is_large else 5
    measured = [
        sides.pipe(rounds),
        sides.meltano(rounds),
        sides.floor(rounds),
        sides.dlt("connectorx", rounds),
        sides.dlt("pyarrow", rounds),
        *([] if is_large else [sides.stock(1)]),
    ]
    case = f"{tables.rows:,} rows x {len(tables.columns)} columns"
    limits = LIMITS.get(tables.rows, (None, None))
    return compare(case, project.server.dsn, tables, measured, rows=tables.rows, limits=limits)


def changes(project: Project, tables: Tables) -> Metrics:
    """One row of a hundred changed since the last run, by its updated_at."""
    sides = Sides(project, tables, key="updated_at")
    measured = [sides.pipe(5), sides.dlt("connectorx", 5), sides.dlt("pyarrow", 5)]
    with tempfile.TemporaryDirectory(dir=OUTPUT) as folder:
        starts = {side.name: Path(folder, str(n)) for n, side in enumerate(measured)}
        for side in measured:
            starts[side.name].mkdir()
            side.measure(starts[side.name])
        change(project.server.dsn, tables)
        changed = tables.rows // 100
        case = f"{changed:,} of {tables.rows:,} changed"
        return compare(case, project.server.dsn, tables, measured, rows=changed, starts=starts)


def wide_or_many(project: Project, tables: Tables, case: str) -> Metrics:
    sides = Sides(project, tables)
    measured = [sides.pipe(3), sides.floor(3), sides.dlt("connectorx", 3), sides.dlt("pyarrow", 3)]
    rows = tables.rows * len(tables.names)
    return compare(case, project.server.dsn, tables, measured, rows=rows)


def bulk(sizes: Sequence[int] = ROWS) -> Metrics:
    """One table of each size. Then, by the first: what has changed in it, fewer rows of 100
    columns, and 200 small tables."""
    results: Metrics = []
    with tempfile.TemporaryDirectory(dir=OUTPUT) as folder:
        for project in project_in(Path(folder)):
            project.server.start()
            first, *_ = tables = [Tables(f"bench_{rows}", ("t",), COLUMNS, rows) for rows in sizes]
            small = tuple(f"t{n:03}" for n in range(200))
            wide = Tables("wide", ("t",), WIDE_COLUMNS, sizes[0] // 10)
            many = Tables("many", small, COLUMNS, sizes[0] // 1000)
            for each in (*tables, wide, many):
                create(project.server.dsn, each)
            for each in tables:
                results += one_table(project, each)
            results += changes(project, first)
            results += wide_or_many(project, wide, f"{wide.rows:,} rows x 100 columns")
            results += wide_or_many(project, many, f"200 tables of {many.rows:,} rows")
    return results

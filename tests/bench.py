"""`make bench`: the loader beside the least that could do the same work; the models at two scales.

Each case of the loader is timed in a process of its own, which imports first and then reports the
seconds of the work and its peak memory; the two sides of a ratio take turns, and medians are
compared. The models are built in a project of their own at SCALE=1 and at SCALE=10: whole, then
after each of three days, whose medians are compared model by model.
Writes output/bench.json, a list of {case, metric, value, unit}.
"""

import argparse
import datetime as dt
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from headwater_project import Project

ROWS = 1_000_000
ROUNDS = 5
DAYS = 3
SCALES = (1, 10)
BUILD_LIMIT = 90  # seconds for all models and tests at the first scale
GROWTH_LIMIT = 1.5  # of a model's time after a day, from one scale to the other
OUTPUT = Path(__file__).parents[1] / "output" / "bench.json"

COLUMNS = {
    "id": {"type": ["integer"]},
    "customer_id": {"type": ["integer", "null"]},
    "amount": {"type": ["number", "null"], "x-sql-datatype": "numeric(18,2)"},
    "rate": {"type": ["number", "null"], "x-sql-datatype": "double precision"},
    "name": {"type": ["string", "null"]},
    "email": {"type": ["string", "null"]},
    "status": {"type": ["string", "null"]},
    "is_active": {"type": ["boolean", "null"]},
    "birth_date": {"type": ["string", "null"], "format": "date"},
    "note": {"type": ["string", "null"]},
    "created_at": {"type": ["string", "null"], "format": "date-time"},
    "updated_at": {"type": ["string", "null"], "format": "date-time"},
}


def write_records(path: Path, *, nested: bool) -> None:
    """A SCHEMA, ROWS records of 12 columns, a STATE; `nested` makes `note` an object."""
    columns = COLUMNS | ({"note": {"type": ["object", "null"]}} if nested else {})
    schema = {"properties": columns}
    start = dt.datetime(2024, 1, 1)
    with path.open("w") as file:
        message = {"type": "SCHEMA", "stream": "bench-t", "schema": schema}
        file.write(json.dumps(message | {"key_properties": ["id"]}) + "\n")
        for i in range(ROWS):
            at = (start + dt.timedelta(seconds=i * 7, microseconds=i % 999_983)).isoformat()
            note = f'{{"a":{i},"b":[1,2],"c":{{"d":"x{i}"}}}}' if nested else f'"a note of row {i}"'
            file.write(
                f'{{"type":"RECORD","stream":"bench-t","record":{{"id":{i},'
                f'"customer_id":{i % 5000},"amount":{i * 37 % 10**7}.{i % 100:02},'
                f'"rate":{i / 7!r},"name":"Customer Name {i}","email":"customer{i}@example.com",'
                f'"status":"{("paid", "shipped", "completed")[i % 3]}",'
                f'"is_active":{("true", "false")[i % 2]},'
                f'"birth_date":"19{i % 90 + 10}-05-1{i % 10}",'
                f'"note":{note},"created_at":"{at}+00:00","updated_at":"{at}+00:00"}},'
                f'"time_extracted":"2026-01-01T00:00:00.123456Z"}}\n'
            )
        file.write('{"type":"STATE","value":{"done":true}}\n')


def write_parquet(records: Path, path: Path) -> None:
    """The same rows as a Parquet file, and a stream that carries it as a BATCH."""
    import duckdb

    with duckdb.connect() as connection:
        types = "struct(id bigint, customer_id bigint, amount decimal(18, 2), rate double, "
        types += "name varchar, email varchar, status varchar, is_active boolean, "
        types += "birth_date date, note varchar, created_at timestamptz, updated_at timestamptz)"
        connection.execute(
            f"copy (select record.* from read_json('{records}', format = 'newline_delimited', "
            f"columns = {{type: 'varchar', record: '{types}'}}) where type = 'RECORD') "
            f"to '{path}' (compression zstd)"
        )
    batch = {"type": "BATCH", "stream": "bench-t", "manifest": [path.as_uri()]}
    with records.open() as lines, path.with_suffix(".jsonl").open("w") as file:
        file.write(next(lines))
        file.write(json.dumps(batch | {"encoding": {"format": "parquet"}}) + "\n")


# What is timed. Each is given its input and a path for a new DuckDB file.


def load(source: Path, database: Path) -> Callable[[], None]:
    from headwater_target_warehouse.duckdb import TargetDuckDB

    target = TargetDuckDB(config={"path": str(database)})
    return lambda: target.listen(source.open("rb"))


def arrow_and_insert(source: Path, database: Path) -> Callable[[], None]:
    """pyarrow.json with the types given, and DuckDB's insert of what it read."""
    import duckdb
    import pyarrow as pa
    import pyarrow.json
    from headwater_target_warehouse.schema import table_from_schema

    schema = json.loads(source.open().readline())["schema"]
    columns = table_from_schema("bench-t", schema, ["id"], default_schema="raw").columns
    note = pa.struct(
        {"a": pa.int64(), "b": pa.list_(pa.int64()), "c": pa.struct({"d": pa.string()})}
    )
    types = {c.name: note if c.type == pa.json_() else c.type for c in columns}
    types["birth_date"] = pa.string()  # the reader makes no dates
    explicit = pa.schema({"type": pa.string(), "record": pa.struct(types)})

    def work() -> None:
        rows = pyarrow.json.read_json(
            source,
            pyarrow.json.ReadOptions(block_size=8 << 20),
            pyarrow.json.ParseOptions(explicit, unexpected_field_behavior="ignore"),
        )
        with duckdb.connect(database) as connection:
            connection.register("lines", rows)
            connection.execute(
                "create table t as select record.* replace "
                "(cast(record.birth_date as date) as birth_date) from lines where type = 'RECORD'"
            )

    return work


def duckdb_reads_parquet(source: Path, database: Path) -> Callable[[], None]:
    import duckdb

    def work() -> None:
        with duckdb.connect(database) as connection:
            path = source.with_suffix(".parquet")
            connection.execute(f"create table t as from read_parquet('{path}')")

    return work


WORKS = {work.__name__: work for work in (load, arrow_and_insert, duckdb_reads_parquet)}


def measure(name: str, source: Path) -> tuple[float, float]:
    """Seconds of the work and peak MB of its process, in a process of its own."""
    command = [sys.executable, __file__, "--work", name, str(source)]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    seconds, megabytes = json.loads(out.splitlines()[-1])
    return seconds, megabytes


def work(name: str, source: Path) -> None:
    with tempfile.TemporaryDirectory(dir=source.parent) as folder:
        do = WORKS[name](source, Path(folder, "bench.duckdb"))
        start = time.perf_counter()
        do()
        seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    print(json.dumps([seconds, peak]))


def compare(case: str, source: Path, other: str, limit: float) -> list[dict[str, object]]:
    """The loader against another way to do it: medians, their ratio, its bound, and memory."""
    sides: dict[str, list[tuple[float, float]]] = {"load": [], other: []}
    for _ in range(ROUNDS):
        for name, results in sides.items():
            results.append(measure(name, source))
    ours, theirs = (statistics.median(s for s, _ in sides[name]) for name in sides)
    peak = max(megabytes for _, megabytes in sides["load"])
    print(
        f"{case:<28}{ours:>8.2f} s{theirs:>9.2f} s{ours / theirs:>8.2f} x  (at most {limit} x)"
        f"{peak:>8.0f} MB",
        flush=True,
    )
    metrics = [
        ("loader", ours, "s"),
        (other, theirs, "s"),
        ("ratio", ours / theirs, "x"),
        ("ratio_limit", limit, "x"),
        ("peak_memory", peak, "MB"),
    ]
    return [{"case": case, "metric": m, "value": round(v, 3), "unit": u} for m, v, u in metrics]


def build_times(project: Project) -> tuple[float, dict[str, float]]:
    """Seconds of the last `dbt build`, tests included, and of each model and snapshot in it."""
    results = json.loads((project.output / "dbt/target/run_results.json").read_text())
    times = {}
    for result in results["results"]:
        kind, _, name, *_ = result["unique_id"].split(".")
        if kind in ("model", "snapshot"):
            times[name] = result["execution_time"]
    return results["elapsed_time"], times


def grow(scale: float, folder: Path) -> tuple[float, float, dict[str, float]]:
    """Seconds of the whole build, of the one after a day, and of each model after a day."""
    project = Project(folder / f"scale-{scale}", scale=scale)
    try:
        for command in (("invoke", "sandbox", "up"), ("run", "nightly")):
            done = project.meltano("--log-level", "warning", *command)
            assert done.code == 0, done.text
        whole, _ = build_times(project)
        days, times = [], defaultdict(list)
        for _ in range(DAYS):
            project.tick()
            done = project.meltano("--log-level", "warning", "run", "nightly")
            assert done.code == 0, done.text
            seconds, models = build_times(project)
            days.append(seconds)
            for name, value in models.items():
                times[name].append(value)
    finally:
        project.close()
    return whole, statistics.median(days), {n: statistics.median(t) for n, t in times.items()}


def compare_scales(folder: Path) -> list[dict[str, object]]:
    """The whole build against its bound, and each model's growth from one scale to the other."""
    small, large = (grow(scale, folder) for scale in SCALES)
    names = [f"SCALE={scale}" for scale in SCALES]
    print(f"\n{'dbt build, tests included':<40}{names[0]:>12}{names[1]:>12}{'ratio':>8}")
    bound = f"whole (at most {BUILD_LIMIT} s at {names[0]})"
    print(f"{bound:<40}{small[0]:>10.1f} s{large[0]:>10.1f} s")
    print(f"{'after a day':<40}{small[1]:>10.1f} s{large[1]:>10.1f} s{large[1] / small[1]:>6.2f} x")
    results: list[tuple[str, str, float, str]] = []
    for name, (whole, day, _) in zip(names, (small, large), strict=True):
        results += [("dbt build", f"whole, {name}", whole, "s")]
        results += [("dbt build", f"after a day, {name}", day, "s")]
    grown = sorted(((large[2][m] / t, m) for m, t in small[2].items()), reverse=True)
    for ratio, model in grown:
        results.append(("dbt build", f"growth of {model}", ratio, "x"))
        if ratio > GROWTH_LIMIT:
            print(
                f"  {model:<38}{small[2][model]:>10.2f} s{large[2][model]:>10.2f} s{ratio:>6.2f} x"
            )
    within = sum(ratio <= GROWTH_LIMIT for ratio, _ in grown)
    print(f"  {within} of {len(grown)} models within {GROWTH_LIMIT} x")
    return [{"case": c, "metric": m, "value": round(v, 3), "unit": u} for c, m, v, u in results]


def main() -> None:
    print(f"{'1,000,000 rows x 12 columns':<28}{'loader':>10}{'beside':>11}{'ratio':>10}")
    OUTPUT.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=OUTPUT.parent) as folder:
        flat, nested = Path(folder, "flat.jsonl"), Path(folder, "nested.jsonl")
        batch = Path(folder, "batch.jsonl")
        write_records(flat, nested=False)
        write_records(nested, nested=True)
        write_parquet(flat, batch.with_suffix(".parquet"))
        results = compare("RECORD lines", flat, "arrow_and_insert", 2.5)
        results += compare("RECORD lines, one nested", nested, "arrow_and_insert", 4)
        results += compare("BATCH Parquet", batch, "duckdb_reads_parquet", 1.5)
        results += compare_scales(Path(folder))
    OUTPUT.write_text(json.dumps(results, indent=2) + "\n")
    print(f"Written to {os.path.relpath(OUTPUT)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure the loader and the models.")
    parser.add_argument("--work", nargs=2, metavar=("NAME", "INPUT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work(arguments.work[0], Path(arguments.work[1]))
    else:
        main()

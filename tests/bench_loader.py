"""The loader beside the least that could do the same work; `python tests/bench.py loader` runs it.

Each case is timed in a process of its own, which imports first and then reports the seconds of the
work and its peak memory.
"""

import datetime as dt
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROWS = 1_000_000
ROUNDS = 5
OUTPUT = Path(__file__).parents[1] / "output"

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
    command = [sys.executable, __file__, name, str(source)]
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
    return [
        *metrics(case, ("loader", ours), (other, theirs), ours / theirs, limit),
        {"case": case, "metric": "peak_memory", "value": round(peak, 3), "unit": "MB"},
    ]


def metrics(
    case: str, ours: tuple[str, float], theirs: tuple[str, float], ratio: float, limit: float
) -> list[dict[str, object]]:
    metrics = [(*ours, "s"), (*theirs, "s"), ("ratio", ratio, "x"), ("ratio_limit", limit, "x")]
    return [{"case": case, "metric": m, "value": round(v, 3), "unit": u} for m, v, u in metrics]


def loader() -> list[dict[str, object]]:
    print(f"{'1,000,000 rows x 12 columns':<28}{'loader':>10}{'beside':>11}{'ratio':>10}")
    with tempfile.TemporaryDirectory(dir=OUTPUT) as folder:
        flat, nested = Path(folder, "flat.jsonl"), Path(folder, "nested.jsonl")
        batch = Path(folder, "batch.jsonl")
        write_records(flat, nested=False)
        write_records(nested, nested=True)
        write_parquet(flat, batch.with_suffix(".parquet"))
        return [
            *compare("RECORD lines", flat, "arrow_and_insert", 2.5),
            *compare("RECORD lines, one nested", nested, "arrow_and_insert", 4),
            *compare("BATCH Parquet", batch, "duckdb_reads_parquet", 1.5),
        ]


if __name__ == "__main__":
    work(sys.argv[1], Path(sys.argv[2]))

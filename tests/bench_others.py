"""What the bulk lane is measured beside, each a process of its own: a bare copy, and dlt.

It imports little, so that a side pays for its own imports only.
"""

import json
import sys
from pathlib import Path


def floor(dsn: str, schema: str, tables: dict[str, dict[str, str]], folder: Path) -> None:
    """The floor: one process, in which DuckDB takes what ADBC reads. `tables`: types by column."""
    import duckdb
    from adbc_driver_postgresql import dbapi

    with (
        dbapi.connect(dsn) as source,
        source.cursor() as cursor,
        duckdb.connect(folder / "warehouse.duckdb") as warehouse,
    ):
        warehouse.execute(f"create schema {schema}")
        for table, columns in tables.items():
            cursor.execute(f"select {', '.join(columns)} from {schema}.{table}")
            warehouse.register("rows", cursor.fetch_record_batch())
            values = ", ".join(
                f"cast({name} as {type_}) as {name}" for name, type_ in columns.items()
            )
            warehouse.execute(f"create table {schema}.{table} as select {values} from rows")


def dlt_load(
    dsn: str,
    schema: str,
    tables: dict[str, dict[str, str]],
    folder: Path,
    backend: str,
    cursor: str | None,
) -> None:
    """dlt's own source and destination; with a `cursor`, what changed since its last run."""
    import dlt
    from dlt.sources.sql_database import sql_database

    options = {}
    if backend == "connectorx":  # whole tables in memory, unless it streams
        options = {"backend_kwargs": {"return_type": "arrow_stream"}}
    source = sql_database(
        dsn,
        schema=schema,
        table_names=list(tables),
        backend=backend,
        reflection_level="full_with_precision",
        chunk_size=100_000,
        **options,
    )
    if cursor:
        for resource in source.resources.values():
            resource.apply_hints(incremental=dlt.sources.incremental(cursor), primary_key="id")
    pipeline = dlt.pipeline(
        "bench",
        pipelines_dir=str(folder / "pipelines"),
        destination=dlt.destinations.duckdb(str(folder / "warehouse.duckdb")),
        dataset_name=schema,
    )
    pipeline.run(
        source,
        write_disposition="merge" if cursor else "replace",
        loader_file_format="parquet",
    ).raise_on_failed_jobs()


if __name__ == "__main__":
    name, options = sys.argv[1], json.loads(sys.argv[2])
    {"floor": floor, "dlt": dlt_load}[name](**options, folder=Path.cwd())

"""Tables to be moved in bulk, which the server itself makes, always the same; their checksums."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import duckdb
import psycopg

# Column: type, by a name that Postgres and DuckDB share, and its value in row i.
COLUMNS = {
    "id": ("int8", "i"),
    "customer_id": ("int8", "i % 5000"),
    "amount": ("numeric(18, 2)", "(i * 37 % 1000000000) / 100.0"),
    "rate": ("float8", "i / 7.0::float8"),
    "name": ("text", "'Customer Name ' || i"),
    "email": ("text", "'customer' || i || '@example.com'"),
    "status": ("text", "(array['paid', 'shipped', 'completed'])[1 + i % 3]"),
    "is_active": ("bool", "i % 2 = 0"),
    "birth_date": ("date", "date '1930-01-01' + (i % 28000)::int"),
    "note": ("text", "case when i % 10 > 0 then 'a note of row ' || i end"),
    "created_at": ("timestamptz", "to_timestamp(1704067200 + i * 7 + i % 999983 / 1000000.0)"),
    "updated_at": ("timestamptz", "to_timestamp(1704067200 + i * 7 + i % 999983 / 1000000.0)"),
}
WIDE_COLUMNS = COLUMNS | {
    f"{name}_{n}": column for n in range(8) for name, column in COLUMNS.items() if name != "id"
}


@dataclass(frozen=True)
class Tables:
    """Tables of the same columns and number of rows in one schema."""

    schema: str
    names: tuple[str, ...]
    columns: dict[str, tuple[str, str]]
    rows: int  # of each


# By table: the number of rows, a sum for each column, and one for the rows as they hang together.
Checksums = dict[str, tuple[int, ...]]


def create(dsn: str, tables: Tables) -> None:
    definitions = ", ".join(f"{name} {type_}" for name, (type_, _) in tables.columns.items())
    values = ", ".join(value for _, value in tables.columns.values())
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("set timezone = 'UTC'")
        connection.execute(f"create schema {tables.schema}")
        for table in tables.names:
            ref = f"{tables.schema}.{table}"
            # What is read is the same; the log of what is written would only take time.
            connection.execute(f"create unlogged table {ref} ({definitions})")
            connection.execute(
                f"insert into {ref} select {values} from generate_series(1, {tables.rows}) as i"
            )
            connection.execute(
                f"alter table {ref} add primary key (id), alter updated_at set not null"
            )
            # So that no reader is the one that finds the rows to be visible to all.
            connection.execute(f"vacuum (freeze, analyze) {ref}")


def change(dsn: str, tables: Tables) -> None:
    """Change one row of a hundred, as an application would."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        for table in tables.names:
            connection.execute(
                f"update {tables.schema}.{table} set amount = amount + 1, note = 'changed', "
                f"updated_at = timestamptz '2026-01-01 00:00+00' + id * interval '1 millisecond' "
                f"where id % 100 = 0"
            )


def source_checksums(dsn: str, tables: Tables) -> Checksums:
    """What the source has, by its own text of each value."""
    types = {name: type_ for name, (type_, _) in tables.columns.items()}
    names = ", ".join(types)
    found = {}
    with (
        psycopg.connect(dsn, options="-c timezone=UTC") as source,
        duckdb.connect() as reader,
        tempfile.NamedTemporaryFile() as file,
    ):
        for table in tables.names:
            file.truncate(0)
            file.seek(0)
            command = f"copy (select {names} from {tables.schema}.{table}) to stdout (format csv)"
            with source.cursor().copy(command) as copy:
                for block in copy:
                    file.write(block)
            file.flush()
            rows = f"read_csv('{file.name}', header = false, columns = {types})"
            found[table] = _checksums(reader, tables, rows)
    return found


def landed_checksums(warehouse: Path, schema: str, tables: Tables) -> Checksums:
    """What a warehouse has, each value as one of its source's type."""
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        return {
            table: _checksums(connection, tables, f'"{schema}"."{table}"') for table in tables.names
        }


def _checksums(
    connection: duckdb.DuckDBPyConnection, tables: Tables, relation: str
) -> tuple[int, ...]:
    values = [f"cast({name} as {type_})" for name, (type_, _) in tables.columns.items()]
    sums = ", ".join(f"sum(hash({value}))" for value in [*values, ", ".join(values)])
    connection.execute("set timezone = 'UTC'")
    return connection.execute(f"select count(*), {sums} from {relation}").fetchone()

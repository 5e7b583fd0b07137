"""What the loader and reconcile ask of a warehouse, and the SQL that both warehouses share."""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet

from .errors import LoadError, ValueMisfit
from .schema import JSON, TIMESTAMP, Column, Table, wider_type

AUDIT_SCHEMA = "_headwater"
_TEXT, _COUNT = pa.string(), pa.int64()
AUDIT_TABLES: dict[str, dict[str, pa.DataType]] = {
    # One row per committed load of a stream; zeros where a stream brought no rows.
    "loads": {
        "run_id": _TEXT,
        "stream": _TEXT,
        "table_schema": _TEXT,
        "table_name": _TEXT,
        "rows_received": _COUNT,
        "rows_inserted": _COUNT,
        "rows_updated": _COUNT,
        "rows_unchanged": _COUNT,
        "rows_deleted": _COUNT,
        "bytes": _COUNT,
        "seconds": pa.float64(),
        "loaded_at": TIMESTAMP,
    },
    # One row per stream, as its newest SCHEMA message describes it. key_properties: a JSON list.
    "streams": {
        "stream": _TEXT,
        "table_schema": _TEXT,
        "table_name": _TEXT,
        "key_properties": _TEXT,
        "replication_key": _TEXT,
        "run_id": _TEXT,
        "seen_at": TIMESTAMP,
    },
    # One row per stream and reconciliation.
    "reconciliations": {
        "run_id": _TEXT,
        "stream": _TEXT,
        "mode": _TEXT,
        "source_rows": _COUNT,
        "warehouse_rows": _COUNT,
        "deleted": _COUNT,
        "later": _COUNT,
        "lost": _COUNT,
        "seconds": pa.float64(),
        "bookmark": _TEXT,
        "note": _TEXT,
        "reconciled_at": TIMESTAMP,
    },
}


@dataclass(frozen=True)
class Counts:
    """What one commit did, in rows."""

    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    deleted: int = 0


class Dialect(ABC):
    """How a warehouse writes SQL; needs no connection."""

    @abstractmethod
    def quote(self, *parts: str) -> str:
        """A quoted identifier: a column's name, or a table's schema and name."""

    @abstractmethod
    def type_name(self, type_: pa.DataType) -> str:
        """The warehouse's name for an Arrow type.

        Raises:
            LoadError: the warehouse has no such type.
        """

    @abstractmethod
    def literal(self, value: Any) -> str:
        """A string literal of the value's text; null for None."""

    @abstractmethod
    def create_schema_sql(self, schema: str) -> str: ...

    @abstractmethod
    def create_table_sql(
        self, schema: str, name: str, columns: Mapping[str, pa.DataType], keys: tuple[str, ...] = ()
    ) -> str: ...

    @abstractmethod
    def widen_sql(
        self, table: Table, columns: Mapping[str, pa.DataType], name: str, type_: pa.DataType
    ) -> str:
        """Give a wider type to one of the columns that the table has."""

    def add_column_sql(self, table: Table, name: str, type_: pa.DataType) -> str:
        ref = self.quote(table.schema, table.name)
        return f"alter table {ref} add column {self.quote(name)} {self.type_name(type_)}"

    def insert_audit_sql(self, name: str, row: Mapping[str, Any]) -> str:
        """Append one row to an audit table."""
        values = self._audit_values(name, row)
        return (
            f"insert into {self.quote(AUDIT_SCHEMA, name)} ({', '.join(map(self.quote, values))}) "
            f"values ({', '.join(values.values())})"
        )

    def register_sql(self, rows: Sequence[Mapping[str, Any]]) -> str:
        """Put rows into `_headwater.streams`, each in place of its stream's former one."""
        values = [self._audit_values("streams", row) for row in rows]
        selects = (
            "select " + ", ".join(f"{v} as {self.quote(n)}" for n, v in row.items())
            for row in values
        )
        names = [self.quote(name) for name in values[0]]
        updates = ", ".join(f"{name} = s.{name}" for name in names)
        stream = self.quote("stream")
        return (
            f"merge into {self.quote(AUDIT_SCHEMA, 'streams')} as t "
            f"using ({' union all '.join(selects)}) as s on t.{stream} = s.{stream} "
            f"when matched then update set {updates} "
            f"when not matched then insert ({', '.join(names)}) "
            f"values ({', '.join(f's.{name}' for name in names)})"
        )

    def _audit_values(self, name: str, row: Mapping[str, Any]) -> dict[str, str]:
        types = AUDIT_TABLES[name]
        return {
            column: f"cast({self.literal(value)} as {self.type_name(types[column])})"
            for column, value in row.items()
        }


class Warehouse(Dialect):
    """One open warehouse; a context manager that closes it.

    `parallel_commits`: for how many tables `commit` may be called at once.
    `batch_rows`: so many rows of batch files are worth a commit of their own; None where it costs
    as much for few rows as for many.
    """

    parallel_commits = 1
    batch_rows: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None: ...

    @abstractmethod
    def query(self, sql: str) -> pa.Table: ...

    @abstractmethod
    def execute(self, sql: str) -> int:
        """Run a statement; returns the number of rows it changed."""

    @abstractmethod
    def columns(self, schema: str, name: str) -> dict[str, pa.DataType]:
        """Lower-case column names and types of a table; empty where there is no such table."""

    @abstractmethod
    def append(self, schema: str, name: str, rows: pa.Table) -> None:
        """Append rows to an existing table, by column name."""

    @abstractmethod
    def stage(self, table: Table, rows: pa.Table) -> None:
        """Keep rows (data and metadata columns) for the next commit of the table."""

    @abstractmethod
    def stage_parquet(self, table: Table, path: Path, metadata: Mapping[str, Any]) -> int:
        """Keep a Parquet file for the next commit; returns its number of rows.

        `metadata` gives the value of each metadata column; of `_sdc_sequence`, the first row's.

        Raises:
            LoadError: a column whose type in the file is not exactly held by the table's.
        """

    @abstractmethod
    def commit(
        self, table: Table, *, activate: int | None, hard_delete: bool, audit: Mapping[str, Any]
    ) -> Counts:
        """Make what is staged visible, with its row in `_headwater.loads`, all or nothing.

        `activate`: rows of other versions than this one are marked deleted, or removed.
        """

    # What both warehouses share.

    def prepare(self, table: Table) -> Table:
        """Create the table, or add and widen columns; returns it with the types it then has.

        Raises:
            LoadError: a column's new type cannot be held beside its old one.
        """
        columns = dict(zip(*_names_and_types(table), strict=True))
        existing = self.columns(table.schema, table.name)
        if not existing:
            self.create(table.schema, table.name, columns, table.keys)
            return table
        types: dict[str, pa.DataType] = {}
        for name, type_ in columns.items():
            held = existing.get(name.lower())
            if held is None:
                self.execute(self.add_column_sql(table, name, type_))
                existing[name.lower()] = type_
                continue
            wider = types[name.lower()] = wider_type(held, type_)
            if wider is None or not self._can_widen(table, name, held, wider):
                raise LoadError(
                    f"{table.stream}.{name}: the column is {self.type_name(held)} and cannot "
                    f"become {self.type_name(type_)} without loss; drop "
                    f"{table.schema}.{table.name} and reload the stream with --full-refresh, or "
                    f"give the field a type in the extractor's `schema` extra"
                )
            if not wider.equals(held):
                self.execute(self.widen_sql(table, existing, name.lower(), wider))
                existing[name.lower()] = wider
        return table.with_types(types)

    def create(
        self, schema: str, name: str, columns: Mapping[str, pa.DataType], keys: tuple[str, ...] = ()
    ) -> None:
        """Create a schema and a table in it, where they are not there."""
        self.execute(self.create_schema_sql(schema))
        self.execute(self.create_table_sql(schema, name, columns, keys))

    def create_audit_tables(self) -> None:
        for name, columns in AUDIT_TABLES.items():
            self.create(AUDIT_SCHEMA, name, columns)
            # A table that an older version of the project has made may lack some.
            for column in columns.keys() - self.columns(AUDIT_SCHEMA, name).keys():
                self.execute(
                    f"alter table {self.quote(AUDIT_SCHEMA, name)} "
                    f"add column {self.quote(column)} {self.type_name(columns[column])}"
                )

    def _can_widen(self, table: Table, name: str, held: pa.DataType, wider: pa.DataType) -> bool:
        """Whether no value changes: only integers that become doubles are in doubt."""
        if not (pa.types.is_integer(held) and pa.types.is_floating(wider)):
            return True
        ref, column = self.quote(table.schema, table.name), self.quote(name)
        beyond = self.query(f"select count(*) from {ref} where abs({column}) > {2**53}")
        return beyond.column(0)[0].as_py() == 0


def _names_and_types(table: Table) -> tuple[list[str], list[pa.DataType]]:
    schema = table.arrow_schema
    return schema.names, schema.types


def audit_row(audit: Mapping[str, Any], counts: Counts, started: float) -> dict[str, Any]:
    """A row for `_headwater.loads`; `started`: when the commit did, by time.monotonic()."""
    done = {f"rows_{name}": rows for name, rows in asdict(counts).items()}
    return {**audit, **done, "seconds": audit["seconds"] + time.monotonic() - started}


def parquet_columns(dialect: Dialect, table: Table, file: pa.Schema) -> dict[Column, pa.DataType]:
    """The type of each of the table's columns in a batch file; null where the file has none.

    Raises:
        LoadError: a column has values that the table's may not hold exactly.
    """
    return {column: _parquet_column(dialect, table, column, file) for column in table.columns}


def _parquet_column(dialect: Dialect, table: Table, column: Column, file: pa.Schema) -> pa.DataType:
    if column.field not in file.names:
        return pa.null()
    given = file.field(column.field).type
    found = _plain_type(given)
    as_json = column.type == JSON and found == pa.string()
    if not as_json and (found is None or wider_type(column.type, found) != column.type):
        raise LoadError(
            f"{table.stream}.{column.field}: the batch file's {given} does not fit "
            f"{dialect.type_name(column.type)}"
        )
    return found


def parquet_rows(
    table: Table,
    file: pyarrow.parquet.ParquetFile,
    found: Mapping[Column, pa.DataType],
    metadata: Mapping[str, Any],
) -> Iterator[pa.Table]:
    """A batch file's rows as `Warehouse.stage` takes them.

    `found`: of `parquet_columns`. `metadata`: as of `stage_parquet`.

    Raises:
        LoadError: a value that its column cannot hold exactly.
    """
    rows = 0
    for batch in file.iter_batches():
        count = batch.num_rows
        arrays: dict[str, pa.Array] = {}
        for column, given in found.items():
            type_ = pa.string() if column.type == JSON else column.type
            values = pa.nulls(count) if pa.types.is_null(given) else batch[column.field]
            try:
                arrays[column.name] = values.cast(type_)
            except pa.ArrowInvalid:
                raise ValueMisfit(
                    table.stream, column.field, f"a {given}", str(column.type)
                ) from None
        for name, type_ in table.metadata.items():
            value = metadata.get(name)
            if name == "_sdc_sequence":
                arrays[name] = pa.array(range(value + rows, value + rows + count), type_)
            else:
                arrays[name] = pa.repeat(pa.scalar(value, type_), count)
        yield pa.table(arrays)
        rows += count


def _plain_type(type_: pa.DataType) -> pa.DataType | None:
    """The column type that holds every value of a Parquet type, None where there is none."""
    if type_ == JSON or pa.types.is_large_string(type_):
        return pa.string() if type_ != JSON else JSON
    if pa.types.is_integer(type_):
        return None if type_ == pa.uint64() else pa.int64()
    if pa.types.is_floating(type_):
        return pa.float64()
    if pa.types.is_large_binary(type_):
        return pa.binary()
    if pa.types.is_timestamp(type_):
        return TIMESTAMP if type_.unit != "ns" else None
    if pa.types.is_nested(type_):
        return None
    return type_

"""What the loader and reconcile ask of a warehouse, and the SQL that both warehouses share."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa

from .errors import LoadError
from .schema import TIMESTAMP, Table, wider_type

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


class Warehouse(ABC):
    """One open warehouse; a context manager that closes it."""

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
    def quote(self, *parts: str) -> str:
        """A quoted identifier; several parts are joined by dots."""

    @abstractmethod
    def type_name(self, type_: pa.DataType) -> str:
        """The warehouse's name for an Arrow type.

        Raises:
            LoadError: the warehouse has no such type.
        """

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
        existing = self.columns(table.schema, table.name)
        if not existing:
            self.create(table.schema, table.name, dict(zip(*_names_and_types(table), strict=True)))
            return table
        ref = self.quote(table.schema, table.name)
        types: dict[str, pa.DataType] = {}
        for name, type_ in zip(*_names_and_types(table), strict=True):
            held = existing.get(name.lower())
            if held is None:
                self.execute(
                    f"alter table {ref} add column {self.quote(name)} {self.type_name(type_)}"
                )
                continue
            wider = types[name.lower()] = wider_type(held, type_)
            if wider is None or not self._can_widen(ref, name, held, wider):
                raise LoadError(
                    f"{table.stream}.{name}: the column is {self.type_name(held)} and cannot "
                    f"become {self.type_name(type_)} without loss; drop "
                    f"{table.schema}.{table.name} and reload the stream with --full-refresh, or "
                    f"give the field a type in the extractor's `schema` extra"
                )
            if not wider.equals(held):
                self.widen(ref, name, wider)
        return table.with_types(types)

    def create(self, schema: str, name: str, columns: Mapping[str, pa.DataType]) -> None:
        """Create a schema and a table in it, where they are not there."""
        self.execute(f"create schema if not exists {self.quote(schema)}")
        definitions = ", ".join(f"{self.quote(c)} {self.type_name(t)}" for c, t in columns.items())
        self.execute(f"create table if not exists {self.quote(schema, name)} ({definitions})")

    def create_audit_tables(self) -> None:
        for name, columns in AUDIT_TABLES.items():
            self.create(AUDIT_SCHEMA, name, columns)

    def widen(self, ref: str, name: str, type_: pa.DataType) -> None:
        self.execute(
            f"alter table {ref} alter column {self.quote(name)} "
            f"set data type {self.type_name(type_)}"
        )

    def _can_widen(self, ref: str, name: str, held: pa.DataType, wider: pa.DataType) -> bool:
        """Whether no value changes: only integers that become doubles are in doubt."""
        if not (pa.types.is_integer(held) and pa.types.is_floating(wider)):
            return True
        column = self.quote(name)
        beyond = self.query(f"select count(*) from {ref} where abs({column}) > {2**53}")
        return beyond.column(0)[0].as_py() == 0


def _names_and_types(table: Table) -> tuple[list[str], list[pa.DataType]]:
    schema = table.arrow_schema
    return schema.names, schema.types

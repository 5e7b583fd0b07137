"""target-duckdb: the warehouse is one DuckDB file."""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import duckdb
import pyarrow as pa
import pyarrow.parquet
from singer_sdk import typing as th

from .errors import LoadError
from .schema import JSON, TIME, TIMESTAMP, Column, Table, sql_type
from .target import TargetWarehouse
from .warehouse import Counts, Warehouse, audit_row, parquet_columns, parquet_rows

_TYPE_NAMES = {
    pa.bool_(): "boolean",
    pa.int64(): "bigint",
    pa.float64(): "double",
    pa.string(): "varchar",
    pa.binary(): "blob",
    pa.date32(): "date",
    TIME: "time",
    # Naive, in UTC: dbt contracts for both warehouses then agree on `timestamp`.
    TIMESTAMP: "timestamp",
    JSON: "json",
}


# A table of few columns needs little; a wide one is given more, up to what DuckDB takes by itself.
MEMORY_LIMITS = ("96MB", "320MB", "1GB")


class DuckDBWarehouse(Warehouse):
    """One process may write the file at a time: opening waits its turn, up to a bound."""

    batch_rows = 200_000

    def __init__(
        self,
        path: Path,
        *,
        memory_limit: str | None = None,
        lock_timeout: float = 60,
        on_wait: Callable[[str], None] = lambda message: None,
    ) -> None:
        """Open the file, made if missing.

        Raises:
            LoadError: it cannot be written, or another process holds it beyond `lock_timeout` s.
        """
        self.path = path
        self._staged: dict[str, list[str]] = defaultdict(list)
        self._temporary = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LoadError(
                f"the warehouse's folder {path.parent} cannot be made: {error.strerror}"
            ) from None
        self._connection = self._open(lock_timeout, on_wait)
        own_limit = self._connection.execute("select current_setting('memory_limit')").fetchone()[0]
        self._memory_limits = iter([memory_limit] if memory_limit else [*MEMORY_LIMITS, own_limit])
        self._connection.execute(f"set memory_limit = '{next(self._memory_limits)}'")
        # Timestamps with a zone, as Parquet brings them, become UTC when stored without one.
        self._connection.execute("set timezone = 'UTC'")
        # The order of rows is in _sdc_sequence; to keep it in storage as well costs memory.
        self._connection.execute("set preserve_insertion_order = false")
        # To find that a dictionary does not pay takes a third of a load; text is small without.
        self._connection.execute("set disabled_compression_methods = 'dictionary'")

    def _open(
        self, lock_timeout: float, on_wait: Callable[[str], None]
    ) -> duckdb.DuckDBPyConnection:
        deadline = time.monotonic() + lock_timeout
        waiting = False
        while True:
            try:
                return duckdb.connect(str(self.path))
            except duckdb.IOException as error:
                # "Conflicting lock is held in /usr/bin/python3.11 (PID 7)."
                _, held, holder = str(error).partition("lock is held in ")
                if not held:
                    raise LoadError(
                        f"the warehouse {self.path} cannot be opened: {str(error).splitlines()[0]}"
                    ) from None
                holder = holder.split(". ")[0].splitlines()[0]
                if time.monotonic() > deadline:
                    raise LoadError(
                        f"the warehouse {self.path} is held by {holder} since more than "
                        f"{lock_timeout:g} s; close it there and run again (to look at the data "
                        f"meanwhile, open the copy headwater-read.duckdb)"
                    ) from None
                if not waiting:
                    on_wait(f"Waiting for the warehouse {self.path}, held by {holder}")
                waiting = True
                time.sleep(0.2)

    def close(self) -> None:
        self._connection.close()

    def quote(self, *parts: str) -> str:
        return ".".join('"' + part.replace('"', '""') + '"' for part in parts)

    def type_name(self, type_: pa.DataType) -> str:
        if pa.types.is_decimal(type_):
            if type_.precision > 38:
                raise LoadError(
                    f"numeric({type_.precision}, {type_.scale}) has more digits than DuckDB's 38; "
                    "give the field `x-sql-datatype: text` in the extractor's `schema` extra"
                )
            return f"decimal({type_.precision}, {type_.scale})"
        return _TYPE_NAMES[type_]

    def literal(self, value: Any) -> str:
        return "null" if value is None else "'" + str(value).replace("'", "''") + "'"

    def create_schema_sql(self, schema: str) -> str:
        return f"create schema if not exists {self.quote(schema)}"

    def create_table_sql(
        self, schema: str, name: str, columns: Mapping[str, pa.DataType], keys: tuple[str, ...] = ()
    ) -> str:
        definitions = ", ".join(f"{self.quote(c)} {self.type_name(t)}" for c, t in columns.items())
        return f"create table if not exists {self.quote(schema, name)} ({definitions})"

    def widen_sql(
        self, table: Table, columns: Mapping[str, pa.DataType], name: str, type_: pa.DataType
    ) -> str:
        ref = self.quote(table.schema, table.name)
        column, wider = self.quote(name), self.type_name(type_)
        return f"alter table {ref} alter column {column} set data type {wider}"

    def query(self, sql: str) -> pa.Table:
        with _one_line_errors():
            return self._connection.execute(sql).to_arrow_table()

    def execute(self, sql: str) -> int:
        # What other tables have staged is in memory too.
        return self._with_memory(lambda: self._execute(sql))

    def _execute(self, sql: str) -> int:
        with _one_line_errors():
            result = self._connection.execute(sql).fetchone()
        return result[0] if result and isinstance(result[0], int) else 0

    def columns(self, schema: str, name: str) -> dict[str, pa.DataType]:
        # Not as parameters: for those DuckDB's client imports pandas, which takes longer than all
        # that a small load does.
        rows = self._connection.execute(
            "select lower(column_name), data_type from information_schema.columns "
            f"where table_schema = {self.literal(schema)} "
            f"and lower(table_name) = lower({self.literal(name)}) "
            "and table_catalog = current_database()"
        ).fetchall()
        return {column: sql_type(type_) or pa.string() for column, type_ in rows}

    def append(self, schema: str, name: str, rows: pa.Table) -> None:
        self._insert(self.quote(schema, name), rows)

    def _insert(self, ref: str, rows: pa.Table) -> None:
        with _one_line_errors():
            self._connection.register("incoming", rows)
            try:
                self._connection.execute(f"insert into {ref} by name select * from incoming")
            finally:
                self._connection.unregister("incoming")

    def _with_memory(self, work: Callable[[], Any]) -> Any:
        """Do it, again with a higher limit where the memory did not suffice."""
        while True:
            try:
                return work()
            except LoadError as error:
                limit = next(self._memory_limits, None)
                if limit is None or not isinstance(error.__cause__, duckdb.OutOfMemoryException):
                    raise
                self._connection.execute(f"set memory_limit = '{limit}'")

    def stage(self, table: Table, rows: pa.Table) -> None:
        name = self.quote("temp", f"{table.schema}.{table.name}")
        select = f"select * from {name}"
        if select not in self._staged[table.stream]:
            schema = table.arrow_schema
            columns = ", ".join(
                f"{self.quote(c)} {self.type_name(t)}"
                for c, t in zip(schema.names, schema.types, strict=True)
            )
            self.execute(f"create or replace temp table {name} ({columns})")
            self._staged[table.stream].append(select)
        self._with_memory(lambda: self._insert(name, rows))

    def stage_parquet(self, table: Table, path: Path, metadata: Mapping[str, Any]) -> int:
        with pyarrow.parquet.ParquetFile(path) as file:
            found = parquet_columns(self, table, file.schema_arrow)
            if "file_row_number" not in file.schema_arrow.names and all(
                _casts_exactly(given, column.type) for column, given in found.items()
            ):
                self._staged[table.stream].append(self._in_place(table, path, found, metadata))
            else:
                for rows in parquet_rows(table, file, found, metadata):
                    self.stage(table, rows)
            return file.metadata.num_rows

    def _in_place(
        self,
        table: Table,
        path: Path,
        found: Mapping[Column, pa.DataType],
        metadata: Mapping[str, Any],
    ) -> str:
        selected = []
        for column, given in found.items():
            value = "null" if pa.types.is_null(given) else self.quote(column.field)
            # It is in UTC: to look for the zone's offset costs more than all else.
            if pa.types.is_timestamp(given):
                value = f"make_timestamp(epoch_us({value}))"
            selected.append(
                f"cast({value} as {self.type_name(column.type)}) as {self.quote(column.name)}"
            )
        for name, type_ in table.metadata.items():
            value = self.literal(metadata.get(name))
            if name == "_sdc_sequence":
                value += " + file_row_number"
            selected.append(f"cast({value} as {self.type_name(type_)}) as {self.quote(name)}")
        return (
            f"select {', '.join(selected)} from read_parquet({self.literal(str(path))}, "
            "file_row_number = true, hive_partitioning = false)"
        )

    def commit(
        self, table: Table, *, activate: int | None, hard_delete: bool, audit: Mapping[str, Any]
    ) -> Counts:
        counts = self._with_memory(
            lambda: self._commit(table, activate, hard_delete=hard_delete, audit=audit)
        )
        self._staged.pop(table.stream, None)
        self.execute(f"drop table if exists {self.quote('temp', f'{table.schema}.{table.name}')}")
        return counts

    def _commit(
        self, table: Table, activate: int | None, *, hard_delete: bool, audit: Mapping[str, Any]
    ) -> Counts:
        ref = self.quote(table.schema, table.name)
        started = time.monotonic()
        with _one_line_errors():
            self._connection.begin()
            try:
                staged = " union all by name ".join(self._staged[table.stream])
                counts = self._merge(table, ref, staged)
                if activate is not None:
                    counts = replace(counts, deleted=self._activate(ref, activate, hard_delete))
                self._execute(self.insert_audit_sql("loads", audit_row(audit, counts, started)))
                self._connection.commit()
            except BaseException:
                with suppress(duckdb.Error):  # a failed write has ended it already
                    self._connection.rollback()
                raise
        return counts

    def _merge(self, table: Table, ref: str, staged: str) -> Counts:
        """Upsert on the keys by delete and insert of the rows that differ.

        DuckDB's own MERGE keeps every updated row in memory: with little of it, 15 times slower.
        """
        if not staged:
            return Counts()
        if not table.keys:
            return Counts(inserted=self._execute(f"insert into {ref} by name {staged}"))
        keys = ", ".join(map(self.quote, table.keys))
        some_null = " or ".join(f"{self.quote(key)} is null" for key in table.keys)
        rows, distinct, keyless = self._connection.execute(
            f"select count(*), count(distinct ({keys})), count_if({some_null}) from ({staged})"
        ).fetchone()
        if keyless:
            raise LoadError(f"{table.stream}: {keyless} rows have no value for their key {keys}")
        if distinct < rows:  # of equal keys, the last in stream order
            staged = (
                f"with staged as ({staged}) select * from staged where _sdc_sequence in "
                f"(select max(_sdc_sequence) from staged group by {keys})"
            )
        same_key = " and ".join(f"t.{self.quote(k)} = s.{self.quote(k)}" for k in table.keys)
        known = f"select 1 from {ref} as t semi join ({staged}) as s on {same_key} limit 1"
        if not self._connection.execute(known).fetchone():
            return Counts(inserted=self._execute(f"insert into {ref} by name {staged}"))
        names = [c.name for c in table.columns if c.name not in table.keys]
        differs = " or ".join(
            f"t.{self.quote(n)} is distinct from s.{self.quote(n)}"
            for n in dict.fromkeys([*names, "_sdc_deleted_at"])
        )
        self._execute(
            f"create or replace temp table changed as "
            f"select s.*{self._kept_by_deletion(table, names)}, t.rowid is null as _is_new "
            f"from ({staged}) as s left join {ref} as t on {same_key} "
            f"where t.rowid is null or {differs}"
        )
        inserted = self._connection.execute("select count(*) from changed where _is_new")
        inserted = inserted.fetchone()[0]
        updated = self._execute(f"delete from {ref} as t using changed as s where {same_key}")
        self._execute(f"insert into {ref} by name select * exclude (_is_new) from changed")
        self._execute("drop table changed")
        # A row left as it is has been seen all the same: it belongs to the version being loaded.
        self._execute(
            f"update {ref} as t set _sdc_table_version = s._sdc_table_version from ({staged}) as s "
            f"where {same_key} and s._sdc_table_version is not null "
            f"and s._sdc_table_version is distinct from t._sdc_table_version"
        )
        return Counts(inserted, updated, distinct - inserted - updated)

    def _kept_by_deletion(self, table: Table, names: list[str]) -> str:
        """A log-based tap's deletion carries the key alone: the other values stay as they were."""
        if "_sdc_deleted_at" in table.metadata:
            return ""
        kept = ", ".join(
            f"case when s._sdc_deleted_at is null then s.{self.quote(n)} "
            f"else coalesce(s.{self.quote(n)}, t.{self.quote(n)}) end as {self.quote(n)}"
            for n in names
        )
        return f" replace ({kept})"

    def _activate(self, ref: str, version: int, hard_delete: bool) -> int:
        old = f"_sdc_table_version is distinct from {version}"
        if hard_delete:
            return self._execute(f"delete from {ref} where {old}")
        return self._execute(
            f"update {ref} set _sdc_deleted_at = (now() at time zone 'UTC') "
            f"where {old} and _sdc_deleted_at is null"
        )


class TargetDuckDB(TargetWarehouse):
    """Singer target for DuckDB."""

    name = "target-duckdb"
    warehouse_name = "DuckDB"
    dbt_targets = ("duckdb",)
    config_jsonschema: ClassVar[dict[str, Any]] = th.PropertiesList(
        th.Property(
            "path",
            th.StringType,
            default="output/headwater.duckdb",
            description="The warehouse file; made if missing.",
        ),
        th.Property(
            "memory_limit",
            th.StringType,
            description="The most DuckDB may keep in memory before it spills to disk, such as 1GB; "
            "without it, little at first, and more where a wide table needs it.",
        ),
        th.Property(
            "lock_timeout_seconds",
            th.IntegerType,
            default=60,
            description="How long to wait for another process that holds the file.",
        ),
        *TargetWarehouse.common_settings,
    ).to_dict()

    def open_warehouse(self) -> DuckDBWarehouse:
        return DuckDBWarehouse(
            Path(self.config["path"]),
            memory_limit=self.config.get("memory_limit"),
            lock_timeout=self.config["lock_timeout_seconds"],
            on_wait=self.logger.warning,
        )


def _casts_exactly(given: pa.DataType, type_: pa.DataType) -> bool:
    """Whether DuckDB casts it, within the types that fit, as Arrow would: to text it writes
    otherwise, and an integer it rounds to a double."""
    if pa.types.is_string(type_):
        return pa.types.is_string(given) or pa.types.is_null(given)
    return not (pa.types.is_floating(type_) and pa.types.is_integer(given))


@contextmanager
def _one_line_errors():
    try:
        yield
    except duckdb.Error as error:
        raise LoadError(f"DuckDB: {str(error).splitlines()[0]}") from error

"""BigQuery's statements, built without a connection: `BigQuerySQL(project="p").merge_sql(…)`."""

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from .errors import LoadError
from .schema import JSON, NUMERIC, TIME, TIMESTAMP, Table
from .warehouse import Dialect

_TYPE_NAMES = {
    pa.bool_(): "bool",
    pa.int64(): "int64",
    pa.float64(): "float64",
    pa.string(): "string",
    pa.binary(): "bytes",
    pa.date32(): "date",
    TIME: "time",
    TIMESTAMP: "timestamp",
    JSON: "json",
}
BIGNUMERIC = pa.decimal256(76, 38)
# What cannot cluster a table; and no more than four columns may.
_NOT_CLUSTERABLE = (pa.float64(), pa.binary(), TIME, JSON)
_CLUSTER_COLUMNS = 4


class BigQuerySQL(Dialect):
    """The statements for one project; `prefix` stands before every dataset's name."""

    def __init__(self, project: str, prefix: str = "") -> None:
        self.project = project
        self.prefix = prefix

    def quote(self, *parts: str) -> str:
        """A column by one part; a dataset by `dataset_ref`; a table by its schema and name."""
        if len(parts) == 2:
            parts = (self.project, f"{self.prefix}{parts[0]}", parts[1])
        return ".".join(f"`{part}`" for part in parts)

    def dataset_ref(self, schema: str) -> str:
        return f"`{self.project}`.`{self.prefix}{schema}`"

    def type_name(self, type_: pa.DataType) -> str:
        if not pa.types.is_decimal(type_):
            return _TYPE_NAMES[type_]
        precision, scale = type_.precision, type_.scale
        if type_ in (NUMERIC, BIGNUMERIC):
            return "numeric" if type_ == NUMERIC else "bignumeric"
        # https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types#decimal_types
        if scale <= 9 and precision <= scale + 29:
            return f"numeric({precision}, {scale})"
        if scale <= 38 and precision <= scale + 38:
            return f"bignumeric({precision}, {scale})"
        raise LoadError(
            f"numeric({precision}, {scale}) has more digits than BigQuery's 38 on either side of "
            "the point; give the field `x-sql-datatype: text` in the extractor's `schema` extra"
        )

    def literal(self, value: Any) -> str:
        # BigQuery reads the escapes of JSON.
        return "null" if value is None else json.dumps(str(value), ensure_ascii=False)

    # Tables

    def create_schema_sql(self, schema: str) -> str:
        return f"create schema if not exists {self.dataset_ref(schema)}"

    def create_table_sql(
        self, schema: str, name: str, columns: Mapping[str, pa.DataType], keys: tuple[str, ...] = ()
    ) -> str:
        return (
            f"create table if not exists {self.quote(schema, name)} "
            f"({self._definitions(columns)}){self._cluster_by(columns, keys)}"
        )

    def widen_sql(
        self,
        table: Table,
        columns: Mapping[str, pa.DataType],
        name: str,
        type_: pa.DataType,
    ) -> str:
        """In place where BigQuery can, else by a table of the same name, replaced at once."""
        held = columns[name]
        ref = self.quote(table.schema, table.name)
        if name not in _lowered(table.keys) and self._widens_in_place(held, type_):
            return (
                f"alter table {ref} alter column {self.quote(name)} "
                f"set data type {self.type_name(type_)}"
            )
        definitions = {**columns, name: type_}
        values = ", ".join(
            f"cast({self.quote(c)} as {_base(self.type_name(type_))}) as {self.quote(c)}"
            if c == name
            else self.quote(c)
            for c in columns
        )
        return (
            f"create or replace table {ref} ({self._definitions(definitions)})"
            f"{self._cluster_by(definitions, _lowered(table.keys))} as select {values} from {ref}"
        )

    def _widens_in_place(self, held: pa.DataType, type_: pa.DataType) -> bool:
        if pa.types.is_floating(type_):
            return True
        if not pa.types.is_decimal(type_):
            return False
        if pa.types.is_integer(held):
            return type_ in (NUMERIC, BIGNUMERIC)
        return _base(self.type_name(held)) == _base(self.type_name(type_))

    def _definitions(self, columns: Mapping[str, pa.DataType]) -> str:
        return ", ".join(f"{self.quote(c)} {self.type_name(t)}" for c, t in columns.items())

    def _cluster_by(self, columns: Mapping[str, pa.DataType], keys: tuple[str, ...]) -> str:
        able = [self.quote(key) for key in keys if columns[key] not in _NOT_CLUSTERABLE]
        return f" cluster by {', '.join(able[:_CLUSTER_COLUMNS])}" if able else ""

    # Staging: BigQuery loads no JSON from Parquet, and may take a BIGNUMERIC there for a NUMERIC.

    def staged_as_text(self, type_: pa.DataType) -> bool:
        return type_ == JSON or (
            pa.types.is_decimal(type_) and _base(self.type_name(type_)) == "bignumeric"
        )

    def staging_type(self, type_: pa.DataType) -> pa.DataType:
        """What a column is in the staging table; a smaller NUMERIC is bounded by its column."""
        if self.staged_as_text(type_):
            return pa.string()
        return NUMERIC if pa.types.is_decimal(type_) else type_

    def create_staging_sql(
        self, ref: str, types: Mapping[str, pa.DataType], hours: int = 24
    ) -> str:
        """`types`: the table's, of the columns that are staged."""
        columns = {name: self.staging_type(type_) for name, type_ in types.items()}
        return (
            f"create table {ref} ({self._definitions(columns)}) options (expiration_timestamp = "
            f"timestamp_add(current_timestamp(), interval {hours} hour))"
        )

    def create_parsed_view_sql(
        self, view: str, ref: str, table: Table, metadata: Mapping[str, Any] | None = None
    ) -> str | None:
        """The staged rows as the table has them; None where they are so already.

        `metadata`: the values of the columns that the staging table has not.
        """
        schema = table.arrow_schema
        if metadata is None and not any(map(self.staged_as_text, schema.types)):
            return None
        columns = []
        for name, type_ in zip(schema.names, schema.types, strict=True):
            column = self.quote(name)
            if metadata is not None and name in table.metadata:
                value = self.literal(metadata.get(name))
                column = f"cast({value} as {self.type_name(type_)}) as {column}"
            elif type_ == JSON:
                # BigQuery keeps JSON numbers as INT64, UINT64 or FLOAT64.
                column = f"parse_json({column}, wide_number_mode => 'round') as {column}"
            elif self.staged_as_text(type_):
                column = f"cast({column} as bignumeric) as {column}"
            columns.append(column)
        return f"create view {view} as select {', '.join(columns)} from {ref}"

    def loads_exactly(self, given: pa.DataType, type_: pa.DataType) -> bool:
        """Whether BigQuery takes a Parquet file's values for a column as they are."""
        staged = self.staging_type(type_)
        if pa.types.is_decimal(staged):
            return (
                pa.types.is_decimal(given)
                and given.scale <= staged.scale
                and given.precision - given.scale <= 29
            )
        if pa.types.is_integer(staged):
            return pa.types.is_signed_integer(given)
        return given == staged

    def check_sql(self, ref: str, table: Table) -> str:
        """One row: staged rows, distinct keys, rows without key; then for each JSON column how many
        texts JSON cannot hold, and how many only with rounded numbers."""
        keys = ", ".join(map(self.quote, table.keys))
        counts = [
            f"countif({column} is not null and safe.parse_json({column}{mode}) is null)"
            for column in (self.quote(c.name) for c in table.columns if c.type == JSON)
            for mode in (", wide_number_mode => 'round'", "")
        ]
        sums = "".join(f", coalesce(sum(c{n}), 0)" for n in range(len(counts)))
        some_null = " or ".join(f"{self.quote(key)} is null" for key in table.keys) or "false"
        selected = [*map(self.quote, table.keys), "count(*) as n"]
        selected += [f"{count} as c{n}" for n, count in enumerate(counts)]
        return (
            f"select coalesce(sum(n), 0), count(*), countif({some_null}){sums} from "
            f"(select {', '.join(selected)} from {ref}{f' group by {keys}' if keys else ''}) as g"
        )

    # Commits

    def insert_sql(self, ref: str, table: Table) -> str:
        """Append the staged rows: the table has no key. `ref`: as of merge_sql."""
        names = ", ".join(map(self.quote, table.arrow_schema.names))
        return (
            f"insert into {self.quote(table.schema, table.name)} ({names}) "
            f"select {names} from {ref}"
        )

    def merge_sql(self, ref: str, table: Table) -> str:
        """Upsert the last staged row of each key; rows that are the same stay as they are.

        `ref`: the staging table, or the view on it that has the table's types.
        """
        schema = table.arrow_schema
        names = schema.names
        types = dict(zip(names, schema.types, strict=True))
        key_list = ", ".join(map(self.quote, table.keys))
        same_key = " and ".join(f"t.{self.quote(k)} = s.{self.quote(k)}" for k in table.keys)
        values = {n: self._value(table, n) for n in names if n not in table.keys}
        compared = [c.name for c in table.columns if c.name in values]
        differs = " or ".join(
            self._differs(n, values[n], types[n])
            for n in dict.fromkeys([*compared, "_sdc_deleted_at"])
        )
        updates = ", ".join(f"{self.quote(n)} = {value}" for n, value in values.items())
        version = self.quote("_sdc_table_version")
        return (
            f"merge into {self.quote(table.schema, table.name)} as t using "
            f"(select * from {ref} where true qualify row_number() over "
            f"(partition by {key_list} order by {self.quote('_sdc_sequence')} desc) = 1) as s "
            f"on {same_key} "
            f"when matched and ({differs}) then update set {updates} "
            # A row left as it is has been seen all the same: it is of the version being loaded.
            f"when matched and s.{version} is not null and s.{version} is distinct from "
            f"t.{version} then update set {version} = s.{version} "
            f"when not matched then insert ({', '.join(map(self.quote, names))}) "
            f"values ({', '.join(f's.{self.quote(n)}' for n in names)})"
        )

    def changed_sql(self, ref: str, table: Table) -> str:
        """How many rows the MERGE inserted or updated: the others keep their sequence."""
        sequence = self.quote("_sdc_sequence")
        return (
            f"select count(*) from {self.quote(table.schema, table.name)} "
            f"where {sequence} in (select {sequence} from {ref})"
        )

    def activate_sql(self, table: Table, version: int, *, hard_delete: bool) -> str:
        """Mark, or remove, the rows of other versions."""
        ref = self.quote(table.schema, table.name)
        old = f"{self.quote('_sdc_table_version')} is distinct from {version}"
        if hard_delete:
            return f"delete from {ref} where {old}"
        deleted_at = self.quote("_sdc_deleted_at")
        return (
            f"update {ref} set {deleted_at} = current_timestamp() "
            f"where {old} and {deleted_at} is null"
        )

    def _value(self, table: Table, name: str) -> str:
        """A log-based tap's deletion carries the key alone: the other values stay as they were."""
        column = self.quote(name)
        if name in table.metadata or "_sdc_deleted_at" in table.metadata:
            return f"s.{column}"
        if name == "_sdc_deleted_at":
            return f"s.{column}"
        deleted_at = self.quote("_sdc_deleted_at")
        return f"if(s.{deleted_at} is null, s.{column}, coalesce(s.{column}, t.{column}))"

    def _differs(self, name: str, value: str, type_: pa.DataType) -> str:
        held = f"t.{self.quote(name)}"
        if type_ == JSON:
            held, value = f"to_json_string({held})", f"to_json_string({value})"
        return f"{held} is distinct from {value}"


def _base(type_name: str) -> str:
    return type_name.partition("(")[0]


def _lowered(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name.lower() for name in names)

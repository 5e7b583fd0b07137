"""From a Singer SCHEMA message to the columns of a warehouse table.

Column types are Arrow types: each warehouse maps them to its own. `pa.json_()` stands for a value
kept as its JSON text.
"""

import re
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from .errors import LoadError

TIMESTAMP = pa.timestamp("us", tz="UTC")
TIME = pa.time64("us")
JSON = pa.json_()
# BigQuery's NUMERIC: what an unconstrained numeric becomes in both warehouses.
NUMERIC = pa.decimal128(38, 9)

# https://sdk.meltano.com/en/latest/implementation/record_metadata.html
METADATA_COLUMNS = {
    "_sdc_extracted_at": TIMESTAMP,
    "_sdc_received_at": TIMESTAMP,
    "_sdc_batched_at": TIMESTAMP,
    "_sdc_deleted_at": TIMESTAMP,
    "_sdc_sequence": pa.int64(),
    "_sdc_table_version": pa.int64(),
}

# The names of types as Postgres, and SQL, write them in `x-sql-datatype`.
_SQL_TYPES = {
    **dict.fromkeys(
        ("smallint", "integer", "int", "bigint", "int2", "int4", "int8", "int64"), pa.int64()
    ),
    **dict.fromkeys(
        ("real", "double precision", "double", "float", "float4", "float8", "float64"),
        pa.float64(),
    ),
    **dict.fromkeys(("boolean", "bool"), pa.bool_()),
    **dict.fromkeys(("text", "string", "varchar", "character varying"), pa.string()),
    **dict.fromkeys(("bytea", "bytes", "blob"), pa.binary()),
    **dict.fromkeys(("json", "jsonb"), JSON),
    "date": pa.date32(),
    **dict.fromkeys(("time", "time without time zone"), TIME),
    **dict.fromkeys(
        (
            "timestamp",
            "timestamptz",
            "timestamp with time zone",
            "timestamp without time zone",
        ),
        TIMESTAMP,
    ),
}
_STRING_FORMATS = {"date-time": TIMESTAMP, "date": pa.date32(), "time": TIME}
_JSON_TYPES = {
    "boolean": pa.bool_(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "object": JSON,
    "array": JSON,
}


@dataclass(frozen=True)
class Column:
    """One column: `field` is its name in the stream, `name` its name in the warehouse.

    `as_text` marks a text column whose values need not be JSON strings: it keeps their JSON text.
    """

    field: str
    name: str
    type: pa.DataType
    required: bool = False
    as_text: bool = False


@dataclass(frozen=True)
class Table:
    """A stream's place in the warehouse; `keys` are warehouse names, empty for append-only."""

    stream: str
    schema: str
    name: str
    columns: tuple[Column, ...]
    keys: tuple[str, ...]

    def with_types(self, types: dict[str, pa.DataType]) -> "Table":
        """The same table with the given types (by warehouse name) for the columns named."""
        return replace(
            self,
            columns=tuple(replace(c, type=types.get(c.name.lower(), c.type)) for c in self.columns),
        )

    @property
    def arrow_schema(self) -> pa.Schema:
        """Data columns, then the metadata columns the data does not bring itself."""
        return pa.schema({c.name: c.type for c in self.columns} | self.metadata)

    @property
    def metadata(self) -> dict[str, pa.DataType]:
        own = {c.name for c in self.columns}
        return {name: type_ for name, type_ in METADATA_COLUMNS.items() if name not in own}


def table_from_schema(
    stream: str, schema: dict[str, Any], key_properties: list[str], *, default_schema: str
) -> Table:
    """The table for a SCHEMA message.

    A stream `rainbow-orders` goes to `raw_rainbow.orders`; one without a hyphen to
    `default_schema`. Names keep letters, digits and underscores, as BigQuery demands. A property
    that can only be null gets no column.

    Raises:
        LoadError: a key that is no property, or two properties with one column name.
    """
    source_schema, hyphen, name = stream.partition("-")
    if not hyphen:
        source_schema, name = "", stream
    required = set(schema.get("required", ())) | set(key_properties)
    columns: dict[str, Column] = {}
    for field, definition in schema["properties"].items():
        if _json_types(definition) == {"null"}:
            continue
        type_, as_text = _column_type(definition)
        column = Column(
            field,
            column_name(field),
            METADATA_COLUMNS.get(field, type_),
            required=field in key_properties or (field in required and not _nullable(definition)),
            as_text=as_text,
        )
        clash = columns.setdefault(column.name.lower(), column)
        if clash is not column:
            raise LoadError(
                f"{stream}: the fields {clash.field} and {field} both become the column "
                f"{column.name}; deselect or rename one of them"
            )
    by_field = {c.field: c for c in columns.values()}
    missing = [key for key in key_properties if key not in by_field]
    if missing:
        raise LoadError(
            f"{stream}: the key {', '.join(missing)} is not among the fields of its schema; "
            "select it"
        )
    return Table(
        stream=stream,
        schema=f"raw_{column_name(source_schema)}" if hyphen else default_schema,
        name=column_name(name),
        columns=tuple(columns.values()),
        keys=tuple(by_field[key].name for key in key_properties),
    )


def column_name(field: str) -> str:
    """The name BigQuery allows for a field: letters, digits, underscores, no digit first."""
    name = re.sub(r"[^A-Za-z0-9_]", "_", field)
    return f"_{name}" if name[:1].isdigit() else name


def _json_types(definition: dict[str, Any]) -> set[str]:
    types = definition.get("type", [])
    found = {types} if isinstance(types, str) else set(types)
    for option in definition.get("anyOf", []) + definition.get("oneOf", []):
        found |= _json_types(option)
    return found


def _nullable(definition: dict[str, Any]) -> bool:
    return "null" in _json_types(definition) or not _json_types(definition)


def _column_type(definition: dict[str, Any]) -> tuple[pa.DataType, bool]:
    """The column type of a property, and whether it keeps other values than strings as text."""
    types = _json_types(definition) - {"null"}
    if declared := definition.get("x-sql-datatype"):
        type_ = sql_type(declared)
        if type_ is not None:
            return type_, pa.types.is_string(type_) and types != {"string"}
    if types == {"string"}:
        formats = [definition, *definition.get("anyOf", ()), *definition.get("oneOf", ())]
        named = {f["format"] for f in formats if "format" in f}
        if len(named) == 1:
            (name,) = named
            # singer.decimal: https://sdk.meltano.com/en/latest/typing.html
            return (
                NUMERIC if name == "singer.decimal" else _STRING_FORMATS.get(name, pa.string())
            ), False
        if definition.get("contentEncoding") == "base64":
            return pa.binary(), False
        return pa.string(), False
    if types == {"integer", "number"}:
        return pa.float64(), False
    if len(types) == 1:
        return _JSON_TYPES.get(*types, JSON), False
    if types and not types & {"object", "array"}:
        return pa.string(), True
    return JSON, False


def sql_type(declared: str) -> pa.DataType | None:
    """The Arrow type of a SQL type name, None where the name is not known."""
    match = re.fullmatch(
        r"(?P<name>[a-z0-9_]+(?: [a-z]+)*?)\s*(?:\((?P<args>[\d,\s-]+)\))?(?P<rest>(?: [a-z]+)*)",
        declared.strip().lower(),
    )
    if not match:
        return JSON if declared.rstrip().endswith("[]") else None
    name = match["name"] + match["rest"]
    if name not in ("numeric", "decimal", "bignumeric"):
        return _SQL_TYPES.get(name)
    if not match["args"]:
        return pa.decimal256(76, 38) if name == "bignumeric" else NUMERIC
    precision, _, scale = match["args"].partition(",")
    return decimal_type(int(precision), int(scale or 0))


def decimal_type(precision: int, scale: int) -> pa.DataType | None:
    """The exact decimal of that size, None where Arrow has none (more than 76 digits)."""
    if scale < 0:  # Postgres: numeric(3, -2) holds 99900
        precision, scale = precision - scale, 0
    precision = max(precision, scale, 1)
    if precision <= 38:
        return pa.decimal128(precision, scale)
    return pa.decimal256(precision, scale) if precision <= 76 else None


def wider_type(existing: pa.DataType, incoming: pa.DataType) -> pa.DataType | None:
    """The narrowest type that holds every value of both exactly, None where there is none.

    An integer column may become a double: the values are checked as they are cast.
    """
    if existing.equals(incoming) or (pa.types.is_string(existing) and incoming != pa.binary()):
        return existing
    if pa.types.is_string(incoming) and existing not in (pa.binary(), JSON):
        return incoming
    floats = [pa.types.is_floating(t) for t in (existing, incoming)]
    integers = [pa.types.is_integer(t) for t in (existing, incoming)]
    decimals = [pa.types.is_decimal(t) for t in (existing, incoming)]
    if any(floats) and any(integers):
        return pa.float64()
    if any(decimals) and all(d or i for d, i in zip(decimals, integers, strict=True)):
        sizes = [
            (t.precision - t.scale, t.scale) if d else (19, 0)
            for t, d in zip((existing, incoming), decimals, strict=True)
        ]
        whole, scale = max(w for w, _ in sizes), max(s for _, s in sizes)
        return decimal_type(whole + scale, scale)
    return None

"""What each Postgres type is in a RECORD and in a SCHEMA message."""

import base64
import math
import re
from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeEngine, UserDefinedType
from tap_postgres.client import PostgresSQLToJSONSchema

_REMEDY = "exclude the row by stream_options.*.custom_where_clauses, or deselect the column"
TEMPORAL = {"date", "timestamp without time zone", "timestamp with time zone"}


@dataclass(frozen=True)
class Column:
    """A column of the source. `datatype` is what Postgres itself calls the type, such as
    `numeric(18,2)`; that of a domain is its base type, that of an enum is `text`."""

    name: str
    datatype: str
    is_nullable: bool

    @property
    def base(self) -> str:
        """The type without its modifier: `timestamp(3) with time zone` without the `(3)`."""
        return re.sub(r"\(.*?\)", "", self.datatype)


def finite(value):
    if not value.is_finite():
        raise ValueError(f"holds {value}, which is no JSON number: {_REMEDY}")
    return value


def _double(value):
    # JSON has no number for these, and the SDK would make them null.
    if math.isnan(value):
        return "NaN"
    return value if math.isfinite(value) else "Infinity" if value > 0 else "-Infinity"


def _date(value):
    # Neither infinity, nor a year before 1 or after 9999, is a date in JSON Schema.
    if value[4] != "-" or value[-1] == "C":
        raise ValueError(f"holds {value}, which is no ISO date: {_REMEDY}, or set dates_as_string")
    return value


def _naive(value):
    _date(value)
    return f"{value[:10]}T{value[11:]}+00:00"


def _aware(value):
    _date(value)
    return f"{value[:10]}T{value[11:]}:00"  # ends in +00, as the session is in UTC


def _base64(value):
    return base64.b64encode(value).decode()


def as_is(column):
    return column


def as_text(column):
    return sa.cast(column, sa.Text)


# type: (the SQLAlchemy type its JSON schema is made from, how it is selected, what is then done)
_TYPES: dict[str, tuple[type[TypeEngine], Callable, Callable | None]] = {
    "smallint": (sa.Integer, as_is, None),
    "integer": (sa.Integer, as_is, None),
    "bigint": (sa.Integer, as_is, None),
    "numeric": (sa.Numeric, as_is, finite),
    "real": (sa.Float, as_is, _double),
    "double precision": (sa.Float, as_is, _double),
    "boolean": (sa.Boolean, as_is, None),
    "text": (sa.Text, as_is, None),
    "character varying": (sa.String, as_is, None),
    "character": (sa.String, as_is, None),  # a cast would strip its padding
    "bpchar": (sa.String, as_is, None),
    "date": (sa.Date, as_text, _date),
    "time without time zone": (sa.Time, as_text, None),
    "timestamp without time zone": (sa.DateTime, as_text, _naive),
    "timestamp with time zone": (sa.DateTime, as_text, _aware),
    "bytea": (sa.LargeBinary, as_is, _base64),
    "json": (postgresql.JSON, as_is, None),
    "jsonb": (postgresql.JSON, as_is, None),
}
_ARRAY = (sa.ARRAY, sa.func.to_json, None)
_OTHER = (sa.Text, as_text, None)


class Wire(UserDefinedType):
    """The type of a selected column: how Postgres sends it and what becomes of it.

    Postgres renders what Python has no exact type for (dates without bound, intervals, arrays).
    A value that JSON cannot carry raises ValueError, which names the column and the value.
    """

    cache_ok = False

    def __init__(self, column: Column):
        self.column = column
        kind = _ARRAY if column.datatype.endswith("[]") else _TYPES.get(column.base, _OTHER)
        self.like, self._select, self._convert = kind

    def column_expression(self, column):
        return sa.type_coerce(self._select(column), self)

    def result_processor(self, dialect, coltype):
        if self._convert is None:
            return None

        def process(value, convert=self._convert):
            try:
                return None if value is None else convert(value)
            except ValueError as error:
                raise ValueError(f"column {self.column.name} {error}") from None

        return process


class JSONSchema(PostgresSQLToJSONSchema):
    """Adds the true type, which decides how a value is stored, to the JSON type."""

    def to_jsonschema(self, column_type: TypeEngine) -> dict:
        """Return the JSON schema of a column; `column_type` is its Wire."""
        column, like = column_type.column, column_type.like
        if like is sa.ARRAY:
            schema = {"type": ["array"]}  # items of one type, at any depth, or null
        elif like is sa.LargeBinary:
            schema = {"type": ["string"], "contentEncoding": "base64"}
        elif like is sa.String:
            length = re.search(r"\((\d+)\)", column.datatype)
            schema = super().to_jsonschema(sa.String(int(length[1]) if length else None))
        else:
            schema = super().to_jsonschema(like())
        return {**schema, "x-sql-datatype": column.datatype}

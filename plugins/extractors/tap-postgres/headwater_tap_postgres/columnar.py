"""What each Postgres type is in a batch file: as Arrow, and the same value as in a RECORD."""

import datetime
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from headwater_tap_postgres.datatypes import TEMPORAL, Column, Wire, as_is, as_text, finite

INSTANT = pa.timestamp("us", tz="UTC")
# An unconstrained numeric: what it becomes in both warehouses.
NUMERIC = pa.decimal128(38, 9)
# The types of a replication key whose value `bookmark` knows how to write.
BOOKMARKS = TEMPORAL | {"smallint", "integer", "bigint", "text", "character varying", "uuid"}
_EPOCH = datetime.date(1970, 1, 1)
_FIRST_DAY = (datetime.date.min - _EPOCH).days
_LAST_DAY = (datetime.date.max - _EPOCH).days
_DAY = 24 * 60 * 60 * 1_000_000
# Makes of JSON what a RECORD has of it.
Reencode = Callable[[str], bytes]


class NoDate(Exception):
    """A column holds a date or time that is none in JSON Schema, such as infinity."""

    def __init__(self, column: Column) -> None:
        super().__init__(column.name)
        self.column = column.name


class Misfit(Exception):
    """A value that no warehouse of ours holds in its column's type; the message is the line."""

    def __init__(self, stream: str, column: Column, value: str, type_: pa.DataType) -> None:
        super().__init__(
            f"{stream}.{column.name}: {value} does not fit {type_}; to admit it, give the field a "
            f"wider type in the extractor's `schema` extra, such as "
            f"{{{stream}: {{{column.name}: {{x-sql-datatype: text}}}}}}, and reload the stream"
        )


class ColumnarWire(Wire):
    """The type of a column that is selected for Arrow.

    What Arrow's driver would bend is rendered by Postgres, as for a RECORD: arrays, intervals,
    networks, ranges, composites; and a real, whose digits a double would not have.
    """

    cache_ok = False

    def __init__(self, column: Column):
        super().__init__(column)
        if column.datatype.endswith("[]"):
            self._select, self._finish = _array_as_text, _documents
        else:
            self._select, self._finish = _TYPES.get(column.base, (as_text, None))
        self._convert = None

    def literal_processor(self, dialect):
        return lambda value: "'" + str(value).replace("'", "''") + "'"

    def finish(self, stream: str, values: pa.Array, reencode: Reencode) -> pa.Array:
        """The values as a batch file has them.

        Raises NoDate, Misfit, and ValueError for a number that JSON has not.
        """
        if self._finish is None:
            return values
        return self._finish(stream, self.column, values, reencode)


def decimal_type(column: Column) -> pa.DataType | None:
    """The Arrow type of a numeric column; None where there is none: more than 76 digits."""
    sizes = re.search(r"\((\d+),(-?\d+)\)", column.datatype)
    if not sizes:
        return NUMERIC
    precision, scale = map(int, sizes.groups())
    if scale < 0:
        precision, scale = precision - scale, 0
    precision = max(precision, scale)
    if precision > 76:
        return None
    return pa.decimal128(precision, scale) if precision <= 38 else pa.decimal256(precision, scale)


def bookmark(column: Column, value: Any) -> Any:
    """A replication key's value as a RECORD has it; `value` is what Arrow makes of it in Python."""
    if value is None or column.base not in TEMPORAL or isinstance(value, str):
        return value
    text = value.isoformat()
    # Postgres writes no zeros at the end of a fraction.
    return re.sub(r"(\.\d*?)0+(?=\+)", r"\1", text)


def _array_as_text(column):
    return sa.cast(sa.func.to_json(column), sa.Text)


def _real_as_double(column):
    return sa.cast(sa.cast(column, sa.Text), sa.Double)


def _decimals(stream: str, column: Column, values: pa.Array, _: Reencode) -> pa.Array:
    type_ = decimal_type(column)
    try:
        return values.cast(type_)
    except pa.ArrowInvalid:
        return pa.array((_decimal(stream, column, v, type_) for v in values.to_pylist()), type_)


def _decimal(stream: str, column: Column, text: str | None, type_: pa.DataType) -> Decimal | None:
    if text is None:
        return None
    try:
        number = finite(Decimal(text))
        pa.scalar(number, type_)
    except ValueError as error:
        if isinstance(error, pa.ArrowException):
            raise Misfit(stream, column, f"a number of {len(text)} characters", type_) from None
        raise ValueError(f"column {column.name} {error}") from None
    return number


def _dates(stream: str, column: Column, values: pa.Array, _: Reencode) -> pa.Array:
    _check_range(column, values.view(pa.int32()), _FIRST_DAY, _LAST_DAY)
    return values


def _instants(stream: str, column: Column, values: pa.Array, _: Reencode) -> pa.Array:
    first, last = _FIRST_DAY * _DAY, (_LAST_DAY + 1) * _DAY - 1
    _check_range(column, values.view(pa.int64()), first, last)
    return values.cast(INSTANT)


def _check_range(column: Column, numbers: pa.Array, first: int, last: int) -> None:
    """The driver lets infinity overflow, which is far beyond."""
    found = pc.min_max(numbers).as_py()
    if found["min"] is not None and not first <= found["min"] <= found["max"] <= last:
        raise NoDate(column)


def _times(stream: str, column: Column, values: pa.Array, _: Reencode) -> pa.Array:
    latest = pc.max(values.view(pa.int64())).as_py()
    if latest is not None and latest >= _DAY:
        raise Misfit(stream, column, f"a string of {len('24:00:00')} characters", values.type)
    return values


def _documents(stream: str, column: Column, values: pa.Array, reencode: Reencode) -> pa.Array:
    texts = [None if text is None else reencode(text) for text in values.to_pylist()]
    return pa.array([None if text == b"null" else text for text in texts], pa.binary()).cast(
        pa.string()
    )


# type: (how it is selected, what is then done); any other is selected as text.
_TYPES: dict[str, tuple[Callable, Callable | None]] = {
    "smallint": (as_is, None),
    "integer": (as_is, None),
    "bigint": (as_is, None),
    "numeric": (as_text, _decimals),  # which is what the driver makes of it, at thrice the cost
    "real": (_real_as_double, None),
    "double precision": (as_is, None),
    "boolean": (as_is, None),
    "character varying": (as_is, None),
    "character": (as_is, None),  # a cast would strip its padding
    "bpchar": (as_is, None),
    "date": (as_is, _dates),
    "time without time zone": (as_is, _times),
    "timestamp without time zone": (as_is, _instants),
    "timestamp with time zone": (as_is, _instants),
    "bytea": (as_is, None),
    "json": (as_text, _documents),
    "jsonb": (as_text, _documents),
}

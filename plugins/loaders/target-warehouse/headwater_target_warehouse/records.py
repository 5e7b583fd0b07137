"""RECORD lines to Arrow tables, fast where every value has the type its schema says.

The fast path hands whole lines to Arrow's JSON reader, which keeps decimals exact. What it cannot
read (nested values, dates, text kept from other types) is taken from the raw line. Where it
refuses a value, the same lines are read again value by value: either each converts without loss,
or the error names the field.
"""

import base64
import datetime as dt
import io
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json
from singer_sdk.exceptions import MissingKeyPropertiesError

from .errors import ValueMisfit
from .schema import JSON, TIME, TIMESTAMP, Column, Table

_as_decimals = msgspec.json.Decoder(float_hook=Decimal)
_as_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


class RecordReader:
    """Reads the RECORD lines of one SCHEMA message."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self._fast = {c.field: _reader_type(c) for c in table.columns if not _is_raw(c)}
        raw = [c for c in table.columns if _is_raw(c)]
        # A struct of just these fields: msgspec skips the others without decoding them.
        self._raw_fields = {f"f{i}": c for i, c in enumerate(raw)}
        self._raw_decoder = msgspec.json.Decoder(
            msgspec.defstruct(
                "RawFields",
                [(name, msgspec.Raw, msgspec.Raw(b"null")) for name in self._raw_fields],
                rename={name: c.field for name, c in self._raw_fields.items()},
            )
        )

    def read(self, records: list[msgspec.Raw]) -> pa.Table:
        """The records, in order, as one table of the data columns under their warehouse names.

        Raises:
            ValueMisfit: a value that its column cannot hold exactly.
            MissingKeyPropertiesError: a null in a key, or in another required field.
        """
        try:
            columns = self._read_fast(records)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError):
            columns = self._read_exactly(records)
        for column, values in zip(self.table.columns, columns, strict=True):
            if column.required and values.null_count:
                raise MissingKeyPropertiesError(
                    f"{self.table.stream}: a record has no value for {column.field}, which its "
                    f"schema requires"
                )
        return pa.table(columns, [c.name for c in self.table.columns])

    def _read_fast(self, records: list[msgspec.Raw]) -> list[pa.ChunkedArray | pa.Array]:
        found: dict[str, pa.ChunkedArray | pa.Array] = {}
        if self._fast:
            lines = b"\n".join(records)
            table = pyarrow.json.read_json(
                io.BytesIO(lines),
                # A line must not be larger than a block.
                pyarrow.json.ReadOptions(block_size=max(1 << 20, max(map(len, records)) + 1)),
                pyarrow.json.ParseOptions(
                    explicit_schema=pa.schema(self._fast), unexpected_field_behavior="ignore"
                ),
            )
            found = {field: table.column(field) for field in self._fast}
        if self._raw_fields:
            structs = [self._raw_decoder.decode(record) for record in records]
            for name, column in self._raw_fields.items():
                found[column.field] = _json_text([getattr(struct, name) for struct in structs])
        return [_finish(found[c.field], c) for c in self.table.columns]

    def _read_exactly(self, records: list[msgspec.Raw]) -> list[pa.Array]:
        fields = [_as_fields.decode(record) for record in records]
        return [self._read_column(column, fields) for column in self.table.columns]

    def _read_column(self, column: Column, fields: list[dict[str, msgspec.Raw]]) -> pa.Array:
        convert = _converter(column)
        values = []
        for record in fields:
            raw = record.get(column.field)
            value = None if raw is None else _as_decimals.decode(raw)
            if value is not None:
                try:
                    value = convert(value, raw)
                    # Arrow rounds nothing here: a decimal or integer too large is refused.
                    pa.scalar(value, _storage(column.type))
                except (ValueError, TypeError, ArithmeticError, pa.ArrowException):
                    raise ValueMisfit(
                        self.table.stream, column.field, describe(value, raw), str(column.type)
                    ) from None
            values.append(value)
        return pa.array(values, _storage(column.type))


def describe(value: Any, raw: bytes | msgspec.Raw) -> str:
    """What kind of value it is, without the value: it may be personal."""
    match value:
        case bool():
            return "a boolean"
        case int() | Decimal():
            return f"a number of {len(bytes(raw))} characters"
        case str():
            return f"a string of {len(value)} characters"
        case list():
            return "an array"
        case _:
            return "an object"


def _is_raw(column: Column) -> bool:
    return column.type == JSON or column.as_text


def _reader_type(column: Column) -> pa.DataType:
    """What Arrow's JSON reader can produce, on the way to the column's type."""
    if column.type in (pa.date32(), TIME, pa.binary()):
        return pa.string()
    return column.type


def _storage(type_: pa.DataType) -> pa.DataType:
    return pa.string() if type_ == JSON else type_


def _json_text(raws: list[msgspec.Raw]) -> pa.Array:
    null = b"null"
    texts = [bytes(raw) for raw in raws]
    return pa.array([None if text == null else text for text in texts], pa.binary()).cast(
        pa.string()
    )


def _finish(values: pa.ChunkedArray | pa.Array, column: Column) -> pa.ChunkedArray | pa.Array:
    if column.as_text:
        return pa.array(
            [None if text is None else _plain(text) for text in values.to_pylist()], pa.string()
        )
    if column.type in (TIME, pa.binary()):
        convert = _converter(column)
        return pa.array(
            [None if text is None else convert(text, b"") for text in values.to_pylist()],
            column.type,
        )
    if pa.types.is_decimal(column.type):
        values.validate(full=True)  # the reader looks at the scale, not at the precision
    if pa.types.is_floating(column.type):
        largest = pc.max(pc.abs(values)).as_py()
        if largest is not None and largest >= 2**53:  # an integer there may have been rounded
            raise ValueError("to be read exactly")
    return values.cast(_storage(column.type))


def _plain(json_text: str) -> str:
    """A JSON string's own text; of any other value, its JSON text."""
    return json.loads(json_text) if json_text.startswith('"') else json_text


def _converter(column: Column) -> Callable[[Any, Any], Any]:
    """A function (decoded value, its JSON) -> exact value of the column's type, or ValueError."""
    type_ = column.type
    if column.as_text:
        return lambda _, raw: _plain(bytes(raw).decode())
    if type_ == JSON:
        return lambda _, raw: bytes(raw).decode()
    if pa.types.is_decimal(type_):
        return lambda value, _: _to_decimal(value, type_)
    return {
        pa.bool_(): _to_boolean,
        pa.int64(): _to_integer,
        pa.float64(): _to_double,
        pa.string(): _to_text,
        pa.binary(): lambda value, _: base64.b64decode(_text(value), validate=True),
        pa.date32(): _to_date,
        TIME: _to_time,
        TIMESTAMP: _to_timestamp,
    }[type_]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("not a string")
    return value


def _to_text(value: Any, _: Any) -> str:
    return _text(value)


def _to_boolean(value: Any, _: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("not a boolean")
    return value


def _to_integer(value: Any, _: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or value != int(value):
        raise ValueError("not an integer")
    return int(value)


def _to_double(value: Any, _: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        raise ValueError("not a number")
    if isinstance(value, str) and value not in ("NaN", "Infinity", "-Infinity"):
        raise ValueError("not a number")
    if isinstance(value, int) and int(float(value)) != value:
        raise ValueError("more digits than a double holds")
    number = float(value)
    if isinstance(value, Decimal) and number in (float("inf"), float("-inf")):
        raise ValueError("out of range")
    return number


def _to_decimal(value: Any, type_: pa.DataType) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        raise ValueError("not a number")
    number = Decimal(value)
    if not number.is_finite():
        raise ValueError("not finite")
    return number


def _to_date(value: Any, _: Any) -> dt.date:
    moment = dt.datetime.fromisoformat(_text(value))
    if moment.time() != dt.time() or moment.utcoffset():
        raise ValueError("has a time of day")
    return moment.date()


def _to_time(value: Any, _: Any) -> dt.time:
    time = dt.time.fromisoformat(_text(value))
    if time.tzinfo is not None:
        raise ValueError("has a time zone")
    return time


def _to_timestamp(value: Any, _: Any) -> dt.datetime:
    text = _text(value)
    _, dot, fraction = text.partition(".")
    digits = len(fraction) - len(fraction.lstrip("0123456789"))
    if dot and fraction[6:digits].strip("0"):
        raise ValueError("finer than a microsecond")
    moment = dt.datetime.fromisoformat(text)
    return moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment.astimezone(dt.UTC)

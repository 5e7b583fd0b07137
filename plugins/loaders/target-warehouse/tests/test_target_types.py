"""Every value lands as it was, or stops the load by name."""

import datetime as dt
from decimal import Decimal

import pytest
from singer_messages import Loader, message, record, schema

NUMERIC = {"type": ["number", "null"], "x-sql-datatype": "numeric"}
BYTEA = {"type": ["string", "null"], "contentEncoding": "base64", "x-sql-datatype": "bytea"}
TIMESTAMP = {"type": ["string", "null"], "format": "date-time"}


def raw_record(stream: str, body: str) -> str:
    """A RECORD whose numbers Python has not touched."""
    return f'{{"type": "RECORD", "stream": "{stream}", "record": {body}}}'


def test_types_follow_the_source(loader: Loader) -> None:
    typed = {
        "i": {"type": ["integer"], "x-sql-datatype": "smallint"},
        "n": {"type": ["number", "null"], "x-sql-datatype": "numeric(18,2)"},
        "u": NUMERIC,
        "f": {"type": ["number", "null"], "x-sql-datatype": "double precision"},
        "s": {"type": ["string", "null"], "x-sql-datatype": "character varying(20)"},
        "e": {"type": ["string", "null"], "x-sql-datatype": "kinds.mood"},
        "d": {"type": ["string", "null"], "format": "date", "x-sql-datatype": "date"},
        "t": {"type": ["string", "null"], "format": "time"},
        "z": TIMESTAMP | {"x-sql-datatype": "timestamp(3) with time zone"},
        "b": BYTEA,
        "j": {"type": ["object", "array", "null"], "x-sql-datatype": "jsonb"},
        "a": {"type": ["array", "null"], "x-sql-datatype": "numeric(10,2)[]"},
        "any": {"type": ["string", "integer", "boolean", "null"]},
        "never": {"type": ["null"]},
        "choice": {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]},
        "plain": {"type": ["number", "null"]},
    }
    loader.run(schema("kinds-all", ["i"], **typed))
    columns = loader.query(
        "select column_name, data_type from information_schema.columns "
        "where table_name = 'all' and not starts_with(column_name, '_sdc_') order by all"
    )
    assert dict(columns) == {
        "i": "BIGINT",
        "n": "DECIMAL(18,2)",
        "u": "DECIMAL(38,9)",
        "f": "DOUBLE",
        "s": "VARCHAR",
        "e": "VARCHAR",
        "d": "DATE",
        "t": "TIME",
        "z": "TIMESTAMP",
        "b": "BLOB",
        "j": "JSON",
        "a": "JSON",
        "any": "VARCHAR",
        "choice": "TIMESTAMP",
        "plain": "DOUBLE",
    }


@pytest.mark.parametrize(
    ("definition", "values"),
    [
        (
            NUMERIC,
            {
                "12345678901234567890.123456789": Decimal("12345678901234567890.123456789"),
                "-0.000000001": Decimal("-0.000000001"),
                "1E+5": Decimal(100000),
                "0E-10": Decimal(0),
                "1.50000000000": Decimal("1.5"),
                '"7.25"': Decimal("7.25"),
            },
        ),
        (
            {"type": ["number", "null"], "x-sql-datatype": "real"},
            {
                "0.1": 0.1,
                "1e300": 1e300,
                "3": 3.0,
                '"Infinity"': float("inf"),
                "0.30000000000000004": 0.30000000000000004,
            },
        ),
        ("integer", {"9223372036854775807": 2**63 - 1, "1044.0": 1044, "-7": -7}),
        ("boolean", {"true": True, "false": False}),
        (
            "string",
            {
                '"naïve ☃ \\"q\\" \\n \\u0041"': 'naïve ☃ "q" \n A',
                '"\\ud83d\\ude00"': "😀",
                '""': "",
                '"null"': "null",
            },
        ),
        (
            {"type": ["string", "null"], "format": "date"},
            {'"0001-01-01"': dt.date(1, 1, 1), '"2024-02-29"': dt.date(2024, 2, 29)},
        ),
        (
            {"type": ["string", "null"], "format": "time"},
            {'"23:59:59.25"': dt.time(23, 59, 59, 250000)},
        ),
        (
            TIMESTAMP,
            {
                '"2024-01-01T07:00:00.123456+07:00"': dt.datetime(2024, 1, 1, 0, 0, 0, 123456),
                '"9999-12-31T23:59:59.999999Z"': dt.datetime(9999, 12, 31, 23, 59, 59, 999999),
                '"2024-01-01T00:00:00"': dt.datetime(2024, 1, 1),
                '"2024-01-01 00:00:00.120000000"': dt.datetime(2024, 1, 1, 0, 0, 0, 120000),
            },
        ),
        (BYTEA, {'"AP8Q"': b"\x00\xff\x10", '""': b""}),
        (
            {"type": ["object", "array", "string", "number", "null"], "x-sql-datatype": "json"},
            {
                '{"n":12345678901234567890.123456789,"a":[1,null]}': (
                    '{"n":12345678901234567890.123456789,"a":[1,null]}'
                ),
                '"s"': '"s"',
                "1.50": "1.50",
                "[]": "[]",
            },
        ),
        (
            {"type": ["string", "integer", "boolean", "null"]},
            {'"a \\"b\\""': 'a "b"', "12": "12", "true": "true"},
        ),
    ],
    ids=[
        "numeric",
        "double",
        "integer",
        "boolean",
        "text",
        "date",
        "time",
        "timestamp",
        "bytes",
        "json",
        "any",
    ],
)
def test_values_are_kept(loader: Loader, definition, values: dict[str, object]) -> None:
    rows = [raw_record("k-v", f'{{"id": {i}, "v": {raw}}}') for i, raw in enumerate(values)]
    missing = [raw_record("k-v", '{"id": 98, "v": null}'), raw_record("k-v", '{"id": 99}')]
    loader.run(schema("k-v", ["id"], id="integer", v=definition), *rows, *missing)
    landed = [v for (v,) in loader.query("select v from raw_k.v order by id")]
    assert landed == [*values.values(), None, None]


@pytest.mark.parametrize(
    ("definition", "raw", "told"),
    [
        (NUMERIC, "0.1234567891", "a number of 12 characters does not fit decimal128(38, 9)"),
        (NUMERIC, "123456789012345678901234567890", "does not fit decimal128(38, 9)"),
        ({"type": ["number"], "x-sql-datatype": "numeric(5,2)"}, "12.345", "decimal128(5, 2)"),
        ("integer", "9223372036854775808", "a number of 19 characters does not fit int64"),
        ("integer", "1.5", "does not fit int64"),
        ("integer", "true", "a boolean does not fit int64"),
        ("number", "9007199254740993", "does not fit double"),
        ("string", "7", "a number of 1 characters does not fit string"),
        ("boolean", '"True"', "a string of 4 characters does not fit bool"),
        (TIMESTAMP, '"2024-01-01T00:00:00.1234567Z"', "does not fit timestamp[us, tz=UTC]"),
        (TIMESTAMP, '"infinity"', "a string of 8 characters does not fit timestamp"),
        ({"type": ["string"], "format": "date"}, '"2024-01-01T10:00:00"', "does not fit date32"),
        (BYTEA, '"not base64!"', "does not fit binary"),
    ],
)
def test_a_value_that_does_not_fit_is_named(
    loader: Loader, definition, raw: str, told: str
) -> None:
    line = loader.fail(
        schema("k-v", ["id"], id="integer", v=definition),
        raw_record("k-v", f'{{"id": 1, "v": {raw}}}'),
        message("STATE", value={"k": 1}),
    )
    assert line.startswith("Error: k-v.v: ")
    assert told in line
    assert "{k-v: {v: {x-sql-datatype: text}}}" in line
    assert raw.strip('"') not in line.removesuffix(told), "the value itself may be personal"
    assert loader.query("select count(*) from raw_k.v") == [(0,)]


def test_the_setting_the_error_names_admits_the_value(loader: Loader) -> None:
    as_text = {"type": ["number", "null"], "x-sql-datatype": "text"}
    loader.run(
        schema("k-v", ["id"], id="integer", v=as_text),
        raw_record("k-v", '{"id": 1, "v": 123456789012345678901234567890.5}'),
    )
    assert loader.query("select v from raw_k.v") == [("123456789012345678901234567890.5",)]


@pytest.mark.parametrize(
    ("before", "first", "after", "second", "landed", "held"),
    [
        ("integer", 1, "number", 2.5, [1.0, 2.5], "DOUBLE"),
        ("integer", 2**53 + 1, NUMERIC, 2.5, [Decimal(2**53 + 1), Decimal("2.5")], "DECIMAL(38,9)"),
        ("integer", 1, "string", "x", ["1", "x"], "VARCHAR"),
        ("string", "x", "integer", 1, ["x", "1"], "VARCHAR"),
        ("number", 2.5, "integer", 1, [2.5, 1.0], "DOUBLE"),
        (
            {"type": ["number"], "x-sql-datatype": "numeric(10,4)"},
            1.25,
            {"type": ["number"], "x-sql-datatype": "numeric(12,2)"},
            7,
            [Decimal("1.25"), Decimal(7)],
            "DECIMAL(14,4)",
        ),
    ],
    ids=["widened", "exactly", "to text", "narrowed from text", "narrowed", "decimals"],
)
def test_a_changed_type_keeps_both_values(
    loader: Loader, before, first, after, second, landed, held: str
) -> None:
    loader.run(
        schema("k-v", ["id"], id="integer", v=before),
        record("k-v", id=1, v=first),
        schema("k-v", ["id"], id="integer", v=after),
        record("k-v", id=2, v=second),
    )
    assert [v for (v,) in loader.query("select v from raw_k.v order by id")] == landed
    assert loader.query("select typeof(v) from raw_k.v limit 1") == [(held,)]


def test_columns_come_and_go_in_mid_stream(loader: Loader) -> None:
    loader.run(
        schema("k-v", ["id"], id="integer", old="string"),
        record("k-v", id=1, old="kept"),
        schema("k-v", ["id"], id="integer", new="string"),
        record("k-v", id=2, new="added"),
    )
    assert loader.query("select id, old, new from raw_k.v order by id") == [
        (1, "kept", None),
        (2, None, "added"),
    ]


@pytest.mark.parametrize(
    ("before", "value", "after"),
    [
        ("integer", 2**53 + 1, "number"),
        ("number", 0.1, NUMERIC),
        ("object", {"a": 1}, "integer"),
        (TIMESTAMP, "2024-01-01T00:00:00Z", {"type": ["string"], "format": "date"}),
    ],
)
def test_a_change_that_would_lose_stops(loader: Loader, before, value, after) -> None:
    loader.run(schema("k-v", ["id"], id="integer", v=before), record("k-v", id=1, v=value))
    line = loader.fail(schema("k-v", ["id"], id="integer", v=after), message("STATE", value={}))
    assert line.startswith("Error: k-v.v: the column is ")
    assert "--full-refresh" in line


def test_an_integer_too_large_for_the_column_it_meets(loader: Loader) -> None:
    loader.run(schema("k-v", ["id"], id="integer", v="number"), record("k-v", id=1, v=0.5))
    line = loader.fail(
        schema("k-v", ["id"], id="integer", v="integer"), record("k-v", id=2, v=2**53 + 1)
    )
    assert "k-v.v: a int64 does not fit double" in line


def test_names_become_valid_in_both_warehouses(loader: Loader) -> None:
    loader.run(
        schema(
            "my shop-line items",
            ["Order ID"],
            **{"Order ID": "integer", "1st": "string", "select": "string"},
        ),
        record("my shop-line items", **{"Order ID": 1, "1st": "a", "select": "b"}),
    )
    assert loader.query('select Order_ID, _1st, "select" from raw_my_shop.line_items') == [
        (1, "a", "b")
    ]


def test_two_fields_of_one_column_name_are_refused(loader: Loader) -> None:
    line = loader.fail(schema("k-v", ["id"], id="integer", ID="integer"))
    assert "the fields id and ID both become the column ID" in line


def test_a_stream_without_a_schema_goes_to_the_default(loader: Loader) -> None:
    loader.run(
        schema("orders", ["id"], id="integer"),
        record("orders", id=1),
        default_target_schema="raw_shopify",
    )
    assert loader.query("select id from raw_shopify.orders") == [(1,)]


def test_more_digits_than_duckdb_has(loader: Loader) -> None:
    wide = {"type": ["number"], "x-sql-datatype": "numeric(50,10)"}
    line = loader.fail(schema("k-v", ["id"], id="integer", v=wide))
    assert "numeric(50, 10) has more digits than DuckDB's 38" in line

"""Each Postgres type: what the SCHEMA says of it and what the RECORD line holds."""

import json

import pytest
import tap_postgres.tap
from headwater_tap_postgres.client import ReadError

pytestmark = pytest.mark.usefixtures("every_type")

ANY_JSON = ["string", "number", "integer", "array", "object", "boolean", "null"]
SCHEMAS = {
    "id": ("bigint", "integer", {}),
    "c_smallint": ("smallint", "integer", {}),
    "c_integer": ("integer", "integer", {}),
    "c_numeric_scaled": ("numeric(20,2)", "number", {}),
    "c_numeric": ("numeric", "number", {}),
    "c_real": ("real", "number", {}),
    "c_double": ("double precision", "number", {}),
    "c_boolean": ("boolean", "boolean", {}),
    "c_text": ("text", "string", {}),
    "c_varchar": ("character varying(10)", "string", {"maxLength": 10}),
    "c_varchar_any": ("character varying", "string", {}),
    "c_char": ("character(4)", "string", {"maxLength": 4}),
    "c_date": ("date", "string", {"format": "date"}),
    "c_timestamp": ("timestamp without time zone", "string", {"format": "date-time"}),
    "c_timestamptz": ("timestamp with time zone", "string", {"format": "date-time"}),
    "c_timestamptz_scaled": ("timestamp(3) with time zone", "string", {"format": "date-time"}),
    "c_time": ("time without time zone", "string", {"format": "time"}),
    "c_timetz": ("time with time zone", "string", {}),
    "c_bytea": ("bytea", "string", {"contentEncoding": "base64"}),
    "c_json": ("json", None, {"type": ANY_JSON, "additionalProperties": True}),
    "c_jsonb": ("jsonb", None, {"type": ANY_JSON, "additionalProperties": True}),
    "c_texts": ("text[]", "array", {}),
    "c_grid": ("integer[]", "array", {}),
    "c_numerics": ("numeric[]", "array", {}),
    "c_instants": ("timestamp with time zone[]", "array", {}),
    "c_moods": ("kinds.mood[]", "array", {}),
    "c_uuid": ("uuid", "string", {}),
    "c_interval": ("interval", "string", {}),
    "c_money": ("money", "string", {}),
    "c_inet": ("inet", "string", {}),
    "c_range": ("int4range", "string", {}),
    "c_hstore": ("kinds.hstore", "string", {}),
    "c_composite": ("kinds.pair", "string", {}),
    "c_enum": ("text", "string", {}),
    "c_domain": ("numeric(18,2)", "number", {}),
    "c_domain_of_domain": ("numeric(18,2)", "number", {}),
    "c_domain_of_array": ("text[]", "array", {}),
    "c_bit": ("bit(3)", "string", {}),
    "c_tsvector": ("tsvector", "string", {}),
    "c_oid": ("oid", "string", {}),
}
# By record: what is written for each column, character by character.
RECORDS = {
    "id": ("1", "2", "3"),
    "c_smallint": ("7", "-32768", "null"),
    "c_integer": ("42", "-2147483648", "null"),
    "c_numeric_scaled": ("123456789012345678.70", "-0.05", "null"),
    "c_numeric": ("12345678901234567890.123456789", "100000", "0E-10"),
    "c_real": ("0.1", '"NaN"', "-0.0"),
    "c_double": ("0.30000000000000004", '"-Infinity"', '"Infinity"'),
    "c_boolean": ("true", "false", "null"),
    "c_text": ('"naïve ☃ \\"q\\" \\\\ \\n\\t"', '""', "null"),
    "c_varchar": ('"abc"', '""', "null"),
    "c_varchar_any": ('"x"', '""', "null"),
    "c_char": ('"ab  "', '"    "', "null"),
    "c_date": ('"2024-02-29"', '"0001-01-01"', "null"),
    "c_timestamp": (
        '"2024-02-29T12:34:56.5+00:00"',
        '"9999-12-31T23:59:59.999999+00:00"',
        "null",
    ),
    "c_timestamptz": (
        '"2024-02-29T05:34:56.789012+00:00"',
        '"0001-01-01T00:00:00+00:00"',
        "null",
    ),
    "c_timestamptz_scaled": ('"2024-02-29T05:34:56.789+00:00"', "null", "null"),
    "c_time": ('"23:59:59.25"', '"24:00:00"', "null"),
    "c_timetz": ('"12:00:00+02"', "null", "null"),
    "c_bytea": ('"AP8Q"', '""', "null"),
    "c_json": (
        '{"b":1.50,"a":[1,null,123456789012345678901234567890.123456789]}',
        "null",
        "17",
    ),
    "c_jsonb": ('{"n":12345678901234567890123456789}', '"s"', '[true,{"a":null}]'),
    "c_texts": ('["a",null,"x,y"]', "[]", "null"),
    "c_grid": ("[[1,2],[3,null]]", "[]", "null"),
    "c_numerics": ('[1.10,"NaN"]', "null", "null"),
    "c_instants": ('["2023-12-31T17:00:00+00:00","infinity"]', "null", "null"),
    "c_moods": ('["sad","happy"]', "null", "null"),
    "c_uuid": ('"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"', "null", "null"),
    "c_interval": ('"1 year 2 days 03:00:00.5"', '"-00:00:01"', "null"),
    "c_money": ('"$12.34"', '"-$1.00"', "null"),
    "c_inet": ('"10.0.0.1/8"', '"::1/128"', "null"),
    "c_range": ('"[1,5)"', '"empty"', "null"),
    "c_hstore": ('"\\"a\\"=>\\"1\\", \\"b\\"=>NULL"', '""', "null"),
    "c_composite": ('"(1,\\"x,y\\")"', '"(,)"', "null"),
    "c_enum": ('"happy"', '"sad"', "null"),
    "c_domain": ("1.20", "0.00", "null"),
    "c_domain_of_domain": ("2.30", "1.00", "null"),
    "c_domain_of_array": ('["p","q"]', "null", "null"),
    "c_bit": ('"101"', '"000"', "null"),
    "c_tsvector": ("\"'a' 'b'\"", '""', "null"),
    "c_oid": ('"5"', '"0"', "null"),
}
EXPECTED_RECORDS = [
    "{" + ",".join(f'"{name}":{values[row]}' for name, values in RECORDS.items()) + "}"
    for row in range(3)
]


def expected_schema(name):
    datatype, json_type, rest = SCHEMAS[name]
    types = [json_type] if name == "id" else [json_type, "null"]
    return {"type": types, "x-sql-datatype": datatype} | rest


def test_tap_discovers_each_type(discover):
    catalog = discover("kinds-every_type")
    properties = next(
        stream["schema"]["properties"]
        for stream in catalog["streams"]
        if stream["tap_stream_id"] == "kinds-every_type"
    )
    assert properties == {name: expected_schema(name) for name in SCHEMAS}


def test_tap_emits_each_type(discover, sync):
    recorder = sync(discover("kinds-every_type"))
    (schema,) = recorder.of("SCHEMA")
    assert schema["schema"]["properties"] == {name: expected_schema(name) for name in SCHEMAS}
    assert recorder.records("kinds-every_type") == EXPECTED_RECORDS


def test_tap_emits_the_same_lines_as_an_executable(discover, run):
    done = run(catalog=discover("kinds-every_type"))
    assert done.returncode == 0
    lines = [line for line in done.stdout.splitlines() if line.startswith('{"type":"RECORD"')]
    assert all(record in line for record, line in zip(EXPECTED_RECORDS, lines, strict=True))


def test_tap_does_not_depend_on_the_settings_of_the_session(discover, sync, execute):
    settings = {
        "timezone": "Asia/Ho_Chi_Minh",
        "datestyle": "German",
        "intervalstyle": "iso_8601",
        "extra_float_digits": "-3",
        "bytea_output": "escape",
    }
    for name, value in settings.items():
        execute(f"alter database headwater set {name} = '{value}'")
    try:
        recorder = sync(discover("kinds-every_type"))
    finally:
        execute("alter database headwater reset all")
    assert recorder.records("kinds-every_type") == EXPECTED_RECORDS


NO_NUMBER = "which is no JSON number"
NO_DATE = "which is no ISO date"


@pytest.mark.parametrize(
    ("datatype", "value", "message"),
    [
        ("numeric", "NaN", NO_NUMBER),
        ("numeric(5,2)", "NaN", NO_NUMBER),
        ("numeric", "Infinity", NO_NUMBER),
        ("date", "infinity", NO_DATE),
        ("date", "-infinity", NO_DATE),
        ("date", "0044-03-15 BC", NO_DATE),
        ("date", "10000-01-01", NO_DATE),
        ("timestamp", "infinity", NO_DATE),
        ("timestamp", "0044-03-15 00:00:00 BC", NO_DATE),
        ("timestamptz", "-infinity", NO_DATE),
        ("timestamptz", "294276-12-31 00:00:00+00", NO_DATE),
    ],
)
def test_tap_names_a_value_it_cannot_emit(shop, execute, discover, sync, datatype, value, message):
    execute(f"create table shop.bad (id integer, v {datatype}); insert into shop.bad values (1)")
    execute("insert into shop.bad values (2, %s)", value)
    with pytest.raises(ReadError) as raised:
        sync(discover("shop-bad"))
    assert str(raised.value).startswith(f"shop-bad: column v holds {value}, {message}: exclude")
    assert raised.value.recorder.records("shop-bad") == ['{"id":1,"v":null}']


def test_tap_names_the_stream_of_a_json_number_python_cannot_read(shop, execute, discover, sync):
    execute("create table shop.bad (v jsonb); insert into shop.bad select repeat('9', 5000)::jsonb")
    with pytest.raises(ReadError, match="^shop-bad: Exceeds the limit"):
        sync(discover("shop-bad"))


def test_dates_as_string_admits_every_date(shop, execute, discover, sync):
    execute("create table shop.dates (d date, t timestamp, z timestamptz)")
    execute("insert into shop.dates values ('infinity', '0044-03-15 BC', '2024-01-01 00:00+07')")
    catalog = discover("shop-dates", config={"dates_as_string": True})
    recorder = sync(catalog, dates_as_string=True)
    assert recorder.of("SCHEMA")[0]["schema"]["properties"] == {
        name: {"type": ["string", "null"], "x-sql-datatype": "text"} for name in "dtz"
    }
    assert recorder.records("shop-dates") == [
        '{"d":"infinity","t":"0044-03-15 00:00:00 BC","z":"2023-12-31 17:00:00+00"}'
    ]


@pytest.mark.filterwarnings("ignore:Did not recognize type")
def test_types_are_added_to_a_catalog_of_the_stock_tap(discover, sync):
    catalog = discover("kinds-every_type", tap=tap_postgres.tap.TapPostgres)
    assert "x-sql-datatype" not in json.dumps(catalog)
    recorder = sync(catalog)
    properties = recorder.of("SCHEMA")[0]["schema"]["properties"]
    expected = {name: expected_schema(name) for name in SCHEMAS}
    expected["id"]["type"] = ["integer", "null"]
    assert properties == expected
    assert recorder.records("kinds-every_type") == EXPECTED_RECORDS


def test_the_catalog_overrides_a_type(discover, sync):
    catalog = discover("kinds-parts")
    parts = next(s for s in catalog["streams"] if s["tap_stream_id"] == "kinds-parts")
    parts["schema"]["properties"]["n"] = {"type": ["string", "null"]}
    recorder = sync(catalog)
    assert recorder.of("SCHEMA")[0]["schema"]["properties"] == {
        "id": {"type": ["integer"], "x-sql-datatype": "integer"},
        "n": {"type": ["string", "null"]},
    }


def test_tap_reads_names_that_need_quoting(discover, sync):
    recorder = sync(discover("kinds-Select"))
    assert recorder.of("SCHEMA")[0]["key_properties"] == ["order", "Order"]
    assert recorder.records("kinds-Select") == [
        '{"Order":1,"order":2,"50% off: a.b":"x","Größe":"2024-01-01"}'
    ]


def test_tap_reads_tables_without_key_rows_or_storage_and_views(discover, sync):
    recorder = sync(discover("kinds-keyless", "kinds-nothing", "kinds-a_view", "kinds-parts"))
    keys = {message["stream"]: message["key_properties"] for message in recorder.of("SCHEMA")}
    assert keys == {
        "kinds-a_view": [],
        "kinds-keyless": [],
        "kinds-nothing": ["id"],
        "kinds-parts": ["id"],
    }
    assert recorder.records("kinds-keyless") == ['{"n":1}', '{"n":1}', '{"n":null}']
    assert recorder.records("kinds-a_view") == ['{"n":1}', '{"n":1}']
    assert recorder.records("kinds-nothing") == []
    assert recorder.records("kinds-parts") == ['{"id":1,"n":1.5}', '{"id":15,"n":2.5}']


def test_tap_leaves_out_what_is_not_selected(discover, sync):
    catalog = discover("kinds-Select")
    stream = next(s for s in catalog["streams"] if s["tap_stream_id"] == "kinds-Select")
    for item in stream["metadata"]:
        if item["breadcrumb"] == ["properties", "50% off: a.b"]:
            item["metadata"]["selected"] = False
    recorder = sync(catalog)
    assert recorder.records("kinds-Select") == ['{"Order":1,"order":2,"Größe":"2024-01-01"}']

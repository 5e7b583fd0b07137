"""The bulk lane: what it lands and what it leaves in the state equal what rows do."""

import datetime as dt
import json
from itertools import count

import pytest
from headwater_tap_postgres.client import ReadError
from headwater_tap_postgres.tap import TapPostgres
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.usefixtures("shop")


@pytest.fixture
def lanes(sync, in_bulk, warehouse):
    """Read a catalog by rows and in bulk, each into a warehouse of its own; the two warehouses."""

    def lanes(catalog, **config):
        landed = []
        for lane in ({}, in_bulk):
            recorder = sync(catalog, **config, **lane)
            assert ("BATCH" in recorder.kinds) == bool(lane), "rows went the other lane"
            landed.append(warehouse("bulk" if lane else "rows"))
            landed[-1].load(recorder)
        return landed

    return lanes


@pytest.fixture
def every_kind(every_type, execute):
    """Every type, with values that the warehouse can hold."""
    execute("create table shop.kinds as select * from kinds.every_type")
    execute("update shop.kinds set c_time = '23:59:59.999999' where c_time = '24:00'")
    execute("alter table shop.kinds add primary key (id)")


def test_every_type_lands_as_by_rows(every_kind, discover, lanes):
    rows, bulk = lanes(discover("shop-kinds"))
    assert bulk.rows("raw_shop.kinds") == rows.rows("raw_shop.kinds")
    assert len(rows.rows("raw_shop.kinds")[1]) == 3


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=5,
)
# By type, its values that the warehouse can hold.
VALUES = {
    "smallint": st.integers(-(2**15), 2**15 - 1),
    "bigint": st.integers(-(2**63), 2**63 - 1),
    "numeric": st.decimals(-(10**28), 10**28, places=9),
    "numeric(12, 4)": st.decimals(-99_999_999, 99_999_999, places=4),
    "real": st.floats(width=32, allow_nan=False, allow_infinity=False),
    "double precision": st.floats(allow_nan=False, allow_infinity=False),
    "boolean": st.booleans(),
    "text": TEXT,
    "bytea": st.binary(),
    "uuid": st.uuids().map(str),
    "date": st.dates().map(dt.date.isoformat),
    "time": st.times().map(dt.time.isoformat),
    "timestamp": st.datetimes().map(dt.datetime.isoformat),
    "timestamptz": st.datetimes(dt.datetime(2, 1, 1), dt.datetime(9999, 12, 30)).map(
        lambda at: f"{at.isoformat()}+07"
    ),
    "interval": st.timedeltas(),
    "jsonb": JSON.map(json.dumps),
    "integer[]": st.lists(st.none() | st.integers(-(2**31), 2**31 - 1)),
    "text[]": st.lists(st.none() | TEXT),
}
NUMBERS = count()


@st.composite
def tables(draw) -> tuple[list[str], list[tuple]]:
    """The types of some columns, and rows of values and nulls."""
    types = draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=len(VALUES)))
    return types, draw(
        st.lists(st.tuples(*(st.none() | VALUES[t] for t in types)), min_size=1, max_size=5)
    )


@settings(
    max_examples=20,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(tables())
def test_any_table_lands_as_by_rows(execute, discover, lanes, table):
    types, rows = table
    name = f"any_{next(NUMBERS)}"  # of its own, as the warehouses stay
    columns = ", ".join(f"c{number} {type_}" for number, type_ in enumerate(types))
    execute("drop schema shop cascade; create schema shop")
    execute(f"create table shop.{name} ({columns})")
    for row in rows:
        values = ", ".join(f"%s::{type_}" for type_ in types)
        execute(f"insert into shop.{name} values ({values})", *row)
    by_rows, in_bulk = (
        warehouse.rows(f"raw_shop.{name}") for warehouse in lanes(discover(f"shop-{name}"))
    )
    assert in_bulk == by_rows
    assert len(by_rows[1]) == len(rows)


def test_who_switches_lanes_changes_nothing(every_kind, discover, sync, in_bulk, warehouse):
    catalog = discover("shop-kinds")
    lanes = ({}, in_bulk, {}, in_bulk)
    for number, lane in enumerate(lanes):
        warehouse().load(sync(catalog, **lane))
        assert warehouse().counts() == ((3, 0, 0, 3, 0) if number else (3, 3, 0, 0, 0))


# What befalls a table in four days, its new columns and wider types included.
DAYS = [
    """
    create table shop.orders (id integer primary key, at timestamptz not null, n smallint, v text);
    insert into shop.orders
    select n, '2024-01-01 00:00Z'::timestamptz + n * interval '1 hour', n, 'first'
    from generate_series(1, 9) n
    """,
    """
    delete from shop.orders where id in (2, 9);
    update shop.orders set v = 'changed', at = '2024-01-02 10:00Z' where id = 4;
    insert into shop.orders values (10, '2024-01-01 08:30Z', 10, 'late')
    """,
    """
    alter table shop.orders add more numeric(12, 4), alter n type bigint;
    insert into shop.orders values
        (2, '2024-01-03 00:00Z', 1099511627776, null, 0.5), (11, '2024-01-03 01:00Z', 1, 'x', null)
    """,
    "alter table shop.orders drop v; update shop.orders set at = at + interval '2 days', more = 1",
]
LANES = ["rows rows rows rows", "bulk bulk bulk bulk", "rows bulk rows bulk", "bulk rows bulk rows"]


@pytest.mark.parametrize("method", ["FULL_TABLE", "INCREMENTAL"])
def test_whoever_switches_lanes_has_the_same_every_day(
    execute, discover, sync, in_bulk, warehouse, monkeypatch, method
):
    key = {"replication_key": "at"} if method == "INCREMENTAL" else {}
    bookmarks = dict.fromkeys(LANES)
    for day, happens in enumerate(DAYS):
        execute(happens)
        # A table's version is the second in which its tap has started.
        monkeypatch.setattr(TapPostgres, "initialized_at", (1_700_000_000 + day) * 1000)
        catalog = discover("shop-orders", replication_method=method, **key)
        ends = []
        for lanes in LANES:
            lane = in_bulk if lanes.split()[day] == "bulk" else {}
            bookmarks[lanes] = warehouse(lanes).load(sync(catalog, bookmarks[lanes], **lane))
            gone = "select id from raw_shop.orders where _sdc_deleted_at is not null order by id"
            ends.append(
                (
                    warehouse(lanes).rows("raw_shop.orders"),
                    warehouse(lanes).query(gone),
                    warehouse(lanes).counts(),
                    bookmarks[lanes]["shop-orders"].get("replication_key_value"),
                )
            )
        assert ends == [ends[0]] * len(LANES), f"day {day}"
    (columns, rows), gone, *_ = ends[0]
    assert columns["n"] == "BIGINT"
    assert columns["more"] == "DECIMAL(12,4)"
    assert gone == ([(9,)] if method == "FULL_TABLE" else [])
    expected = execute("select id::text from shop.orders order by id::text")
    assert [(id_,) for id_, *_ in rows if id_ != "9"] == expected


def test_names_that_need_quoting_views_parts_and_empty_tables(every_type, execute, discover, lanes):
    execute("""
        create table shop."Order Lines" (
            "Order" integer, "line no" integer, "select" text, "from" date, "größe" numeric,
            "50% off: a.b" text, "a""b'c" text, primary key ("line no", "Order")
        );
        insert into shop."Order Lines" values
            (1, 1, 'x', '2024-01-01', 1.5, '%(a)s', ':b'), (1, 2, null, null, null, '%', null);
        create table shop."group" ("group" text);
        insert into shop."group" values ('a'), ('a')
    """)
    expected = {
        "raw_kinds.keyless": 3,
        "raw_kinds.a_view": 2,
        "raw_kinds.nothing": 0,
        "raw_kinds.parts": 2,
        "raw_shop.Order_Lines": 2,
        "raw_shop.group": 2,
    }
    streams = ["kinds-keyless", "kinds-a_view", "kinds-nothing", "kinds-parts"]
    rows, bulk = (
        {name: warehouse.rows(quoted(name)) for name in expected}
        for warehouse in lanes(discover(*streams, "shop-Order Lines", "shop-group"))
    )
    assert bulk == rows
    assert {name: len(landed) for name, (_, landed) in rows.items()} == expected


def quoted(name):
    return ".".join(f'"{part}"' for part in name.split("."))


def test_a_table_of_200_columns_lands_as_by_rows(execute, discover, lanes):
    types = ["integer", "text", "numeric(20, 6)", "timestamptz", "boolean", "real", "jsonb", "date"]
    columns = {f"c{n:03}": types[n % len(types)] for n in range(199)}
    defined = ", ".join(f"{name} {type_}" for name, type_ in columns.items())
    execute(f"create table shop.wide (id integer primary key, {defined})")
    value = {
        "integer": "n * {0}",
        "text": "repeat('ü{0} ', n % 3)",
        "numeric(20, 6)": "n * 1.000001",
        "timestamptz": "'2024-01-01Z'::timestamptz + n * interval '{0} ms'",
        "boolean": "n % 2 = 0",
        "real": "n / 7.0",
        "jsonb": "jsonb_build_object('a', n / 3.0, 'b', {0})",
        "date": "'2024-01-01'::date + n",
    }
    values = ", ".join(
        f"case when n % 5 <> {number % 5} then {value[type_].format(number)} end"
        for number, type_ in enumerate(columns.values())
    )
    execute(f"insert into shop.wide select n, {values} from generate_series(1, 300) n")
    rows, bulk = (warehouse.rows("raw_shop.wide") for warehouse in lanes(discover("shop-wide")))
    assert bulk == rows
    assert (len(rows[0]), len(rows[1])) == (200, 300)


def test_a_full_table_is_announced_before_and_after_its_batches(execute, discover, sync, in_bulk):
    execute("create table shop.orders as select n as id from generate_series(1, 3) n")
    config = {**in_bulk["batch_config"], "batch_size": 2}
    recorder = sync(discover("shop-orders"), batch_config=config)
    assert [kind for kind in recorder.kinds if kind != "STATE"] == [
        "SCHEMA", "ACTIVATE_VERSION", "BATCH", "BATCH", "ACTIVATE_VERSION"
    ]  # fmt: skip
    assert recorder.kinds[-1] == "STATE"


@pytest.mark.parametrize("method", ["INCREMENTAL", "FULL_TABLE"])
def test_the_state_equals_that_of_rows(execute, discover, sync, in_bulk, method):
    execute("""
        create table shop.orders (id integer primary key, at timestamptz not null);
        insert into shop.orders values (1, '2024-01-01 10:00+00'), (2, '2024-01-01 12:30:00.5+00')
    """)
    key = {"replication_key": "at"} if method == "INCREMENTAL" else {}
    catalog = discover("shop-orders", replication_method=method, **key)
    first = sync(catalog)
    assert sync(catalog, **in_bulk).state == first.state
    assert sync(catalog, first.state, **in_bulk).state == sync(catalog, first.state).state


@pytest.mark.parametrize(
    ("datatype", "value"),
    [
        ("numeric", "NaN"),
        ("numeric(5,2)", "NaN"),
        ("numeric", "-Infinity"),
        ("date", "infinity"),
        ("date", "0044-03-15 BC"),
        ("timestamp", "-infinity"),
        ("timestamptz", "294276-12-31 00:00:00+00"),
    ],
)
def test_a_value_that_cannot_be_sent_is_named_as_by_rows(
    execute, discover, sync, in_bulk, datatype, value
):
    execute(f"create table shop.bad (id integer, v {datatype}); insert into shop.bad values (1)")
    execute("insert into shop.bad values (2, %s)", value)
    catalog, said = discover("shop-bad"), []
    for lane in ({}, in_bulk):
        with pytest.raises(ReadError) as raised:
            sync(catalog, **lane)
        said.append(str(raised.value))
    assert said[0] == said[1]


@pytest.mark.parametrize(
    ("config", "schema", "replication_key", "reason"),
    [
        ({"stream_maps": {"shop-orders": {"email": "md5(email)"}}}, None, None, "a stream map"),
        ({"stream_maps": {"shop-orders": {"email": None}}}, None, None, "a stream map"),
        (
            {"flattening_enabled": True, "flattening_max_depth": 1},
            *(None, None),
            "a stream map, or flattening, changes them",
        ),
        ({}, {"type": ["string", "null"]}, None, "the catalog gives the column n another type"),
        ({}, None, None, "the column n may have more than 76 digits"),
        ({}, None, "share", "the replication key share is double precision"),
    ],
)
def test_what_is_read_by_rows_and_why(
    execute, discover, sync, in_bulk, caplog, config, schema, replication_key, reason
):
    caplog.set_level("INFO", "tap-postgres")
    wide = "numeric(77)" if "digits" in reason else "numeric"
    execute(f"""
        create table shop.orders (
            id integer primary key, email text, n {wide}, share float not null
        );
        insert into shop.orders values (1, 'a@example.com', 1, 0.5)
    """)
    method = "INCREMENTAL" if replication_key else "FULL_TABLE"
    catalog = discover("shop-orders", replication_method=method, replication_key=replication_key)
    if schema:
        orders = next(s for s in catalog["streams"] if s["tap_stream_id"] == "shop-orders")
        orders["schema"]["properties"]["n"] = schema
    recorder = sync(catalog, **config, **in_bulk)
    assert "BATCH" not in recorder.kinds
    assert len(recorder.of("RECORD")) == 1
    assert caplog.text.count(f"shop-orders is read by rows: {reason}") == 1
    if "stream_maps" in config:
        assert "a@example.com" not in "".join(recorder.lines)

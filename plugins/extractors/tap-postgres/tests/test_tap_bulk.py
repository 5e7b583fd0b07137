"""The bulk lane: what it lands and what it leaves in the state equal what rows do."""

import datetime as dt
import json
from itertools import count

import pytest
from headwater_tap_postgres.client import ReadError
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


def test_names_that_need_quoting_views_parts_and_empty_tables(every_type, discover, lanes):
    names = ["keyless", "a_view", "nothing", "parts"]
    rows, bulk = (
        [warehouse.rows(f"raw_kinds.{name}") for name in names]
        for warehouse in lanes(discover(*(f"kinds-{name}" for name in names)))
    )
    assert bulk == rows
    assert [len(landed) for _, landed in rows] == [3, 2, 0, 2]


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
    "maps", [{"shop-orders": {"email": "md5(email)"}}, {"shop-orders": {"email": None}}]
)
def test_a_stream_map_is_honoured_by_rows(execute, discover, sync, in_bulk, maps, caplog):
    caplog.set_level("INFO", "tap-postgres")
    execute("create table shop.orders (id integer primary key, email text)")
    execute("insert into shop.orders values (1, 'a@example.com')")
    recorder = sync(discover("shop-orders"), stream_maps=maps, **in_bulk)
    assert "BATCH" not in recorder.kinds
    assert len(recorder.of("RECORD")) == 1
    assert "a@example.com" not in "".join(recorder.lines)
    assert caplog.text.count("shop-orders is read by rows: a stream map") == 1

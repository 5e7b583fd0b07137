"""What is read, from where on, in which order it is written, and what the state then says."""

from itertools import count
from urllib.parse import unquote, urlparse

import pyarrow.parquet as pq
import pytest
from headwater_tap_postgres.client import ReadError, Stream
from headwater_tap_postgres.tap import TapPostgres
from singer_sdk.testing import SuiteConfig
from singer_sdk.testing.runners import TapTestRunner
from singer_sdk.testing.suites import tap_stream_attribute_tests, tap_stream_tests, tap_tests

pytestmark = pytest.mark.usefixtures("shop")


@pytest.fixture
def orders(execute):
    execute("""
        create table shop.orders (id integer primary key, updated_at timestamptz not null);
        insert into shop.orders values
            (1, '2024-01-01 10:00+00'), (2, '2024-01-01 12:00+00'), (3, '2024-01-01 12:30+00')
    """)


@pytest.fixture
def incremental(discover):
    def incremental(stream="shop-orders", key="updated_at"):
        return discover(stream, replication_method="INCREMENTAL", replication_key=key)

    return incremental


@pytest.fixture(params=["rows", "columns"])
def read(request, sync, in_bulk, tmp_path):
    """Run the tap in either lane, and return the Recorder."""
    in_columns = request.param == "columns"
    numbers = count()

    def read(*arguments, **config):
        if in_columns:  # each time with a folder of its own, so that the files stay
            storage = {"root": (tmp_path / f"batches {next(numbers)}").as_uri()}
            config["batch_config"] = {**in_bulk["batch_config"], "storage": storage}
        recorder = sync(*arguments, **config)
        assert ("RECORD" if in_columns else "BATCH") not in recorder.kinds, "the other lane"
        return recorder

    return read


def ids(recorder, stream="shop-orders"):
    """Of the rows that were sent, in order."""
    sent = [message["record"]["id"] for message in recorder.of("RECORD", stream)]
    for message in recorder.of("BATCH", stream):
        for url in message["manifest"]:
            sent += pq.read_table(unquote(urlparse(url).path))["id"].to_pylist()
    return sent


def test_a_full_table_is_announced_before_and_after_its_rows(orders, discover, sync):
    recorder = sync(discover("shop-orders"))
    assert recorder.kinds == [
        "SCHEMA", "ACTIVATE_VERSION", "RECORD", "RECORD", "RECORD", "ACTIVATE_VERSION", "STATE"
    ]  # fmt: skip
    before, after = recorder.of("ACTIVATE_VERSION")
    assert before == after
    assert {message["version"] for message in recorder.of("RECORD")} == {before["version"]}


def test_an_empty_table_is_announced_twice(execute, discover, sync):
    execute("create table shop.orders (id integer primary key)")
    recorder = sync(discover("shop-orders"))
    assert recorder.kinds == ["SCHEMA", "ACTIVATE_VERSION", "ACTIVATE_VERSION", "STATE"]


def test_a_failed_read_is_not_announced_as_complete(execute, discover, sync, monkeypatch):
    monkeypatch.setattr(Stream, "STATE_MSG_FREQUENCY", 1)
    execute("create table shop.bad (id integer, n numeric); insert into shop.bad values (1, 1)")
    catalog = discover("shop-bad")
    before = sync(catalog).state
    execute("insert into shop.bad values (2, 'NaN')")
    with pytest.raises(ReadError) as raised:
        sync(catalog, before)
    recorder = raised.value.recorder
    assert recorder.kinds == ["STATE", "SCHEMA", "ACTIVATE_VERSION", "RECORD"]
    assert recorder.state == before


@pytest.mark.parametrize(
    ("config", "count"),
    [
        ({"max_record_count": 2}, 1),
        ({"max_record_count": 3}, 1),
        ({"emit_activate_version_messages": False}, 0),
    ],
)
def test_when_a_full_table_is_not_announced_as_complete(orders, discover, read, config, count):
    recorder = read(discover("shop-orders"), **config)
    assert len(recorder.of("ACTIVATE_VERSION")) == count
    assert ids(recorder) == [1, 2, 3][: config.get("max_record_count")]


def test_batch_files_are_not_announced_as_complete(orders, discover, sync, tmp_path):
    storage = {"root": tmp_path.as_uri()}
    encoding = {"format": "jsonl", "compression": "gzip"}
    recorder = sync(
        discover("shop-orders"), batch_config={"encoding": encoding, "storage": storage}
    )
    assert recorder.kinds == ["SCHEMA", "ACTIVATE_VERSION", "BATCH", "STATE"]


def test_an_incremental_read_starts_before_its_bookmark(orders, execute, incremental, read):
    first = read(incremental())
    assert ids(first) == [1, 2, 3]
    assert first.state["shop-orders"]["replication_key_value"] == "2024-01-01T12:30:00+00:00"
    assert first.of("ACTIVATE_VERSION") == []

    execute("insert into shop.orders values (4, '2024-01-01 12:30:00.5+00')")
    second = read(incremental(), first.state)
    assert ids(second) == [2, 3, 4]
    assert second.state["shop-orders"]["replication_key_value"] == "2024-01-01T12:30:00.5+00:00"


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"overlap_seconds": 0}, [3]),
        ({"overlap_seconds": 1800}, [2, 3]),
        ({"overlap_seconds": 86400}, [1, 2, 3]),
        ({"overlap_seconds": 86400, "start_date": "2024-01-01T11:00:00Z"}, [2, 3]),
        ({"start_date": "2024-01-01T19:30:00+07:00"}, [3]),
    ],
)
def test_where_an_incremental_read_starts(orders, incremental, read, config, expected):
    state = read(incremental()).state
    assert ids(read(incremental(), state, **config)) == expected


def test_a_first_read_starts_at_the_start_date(orders, incremental, read):
    assert ids(read(incremental(), start_date="2024-01-01T12:00:00Z")) == [2, 3]


def test_a_row_committed_late_is_read_by_the_next_run(orders, begin, incremental, read):
    late = begin()
    late.cursor().execute("insert into shop.orders values (9, '2024-01-01 12:15+00')")
    first = read(incremental())
    late.commit()
    second = read(incremental(), first.state)
    assert ids(first) == [1, 2, 3]
    assert ids(second) == [2, 9, 3]
    assert second.state["shop-orders"]["replication_key_value"] == "2024-01-01T12:30:00+00:00"


def test_the_bookmark_does_not_go_back_when_the_last_rows_are_deleted(
    orders, execute, incremental, read, monkeypatch
):
    monkeypatch.setattr(Stream, "STATE_MSG_FREQUENCY", 1)
    first = read(incremental())
    execute("delete from shop.orders where id = 3")
    second = read(incremental(), first.state)
    assert ids(second) == [2]
    for message in second.of("STATE"):
        bookmark = message["value"]["bookmarks"]["shop-orders"]["replication_key_value"]
        assert bookmark == "2024-01-01T12:30:00+00:00"


def test_a_bookmark_of_the_stock_tap_is_resumed(orders, incremental, read):
    bookmark = {
        "replication_key": "updated_at",
        "replication_key_value": "2024-01-01T12:30:00.000000+00:00",
    }
    assert ids(read(incremental(), {"shop-orders": bookmark})) == [2, 3]


def test_another_replication_key_starts_anew(orders, incremental, read):
    bookmark = {"replication_key": "id", "replication_key_value": 3}
    recorder = read(incremental(), {"shop-orders": bookmark})
    assert ids(recorder) == [1, 2, 3]
    assert recorder.state["shop-orders"]["replication_key"] == "updated_at"
    assert recorder.state["shop-orders"]["replication_key_value"] == "2024-01-01T12:30:00+00:00"


@pytest.mark.parametrize(
    ("datatype", "values", "bookmark", "expected"),
    [
        ("timestamp", ["2024-01-01 10:00", "2024-01-01 11:30", "2024-01-01 12:00"],
         "2024-01-01T12:00:00+00:00", [2, 3]),
        ("date", ["2023-12-30", "2023-12-31", "2024-01-01"], "2024-01-01", [2, 3]),
        ("integer", [10, 11, 12], 12, [3]),
    ],
)  # fmt: skip
def test_the_overlap_is_for_dates_and_times(
    execute, incremental, read, datatype, values, bookmark, expected
):
    execute(f"create table shop.orders (id integer primary key, at {datatype} not null)")
    for number, value in enumerate(values, start=1):
        execute("insert into shop.orders values (%s, %s)", number, value)
    first = read(incremental(key="at"))
    assert first.state["shop-orders"]["replication_key_value"] == bookmark
    second = read(incremental(key="at"), first.state)
    assert ids(second) == expected
    assert second.state["shop-orders"]["replication_key_value"] == bookmark


def test_the_overlap_holds_with_dates_as_string(orders, discover, read):
    catalog = discover(
        "shop-orders",
        config={"dates_as_string": True},
        replication_method="INCREMENTAL",
        replication_key="updated_at",
    )
    first = read(catalog, dates_as_string=True)
    assert first.state["shop-orders"]["replication_key_value"] == "2024-01-01 12:30:00+00"
    assert ids(read(catalog, first.state, dates_as_string=True)) == [2, 3]


@pytest.mark.parametrize("method", ["INCREMENTAL", "FULL_TABLE"])
def test_the_state_says_which_transactions_the_read_has_seen(
    orders, execute, begin, discover, read, method
):
    options = {"replication_method": method}
    if method == "INCREMENTAL":
        options["replication_key"] = "updated_at"
    catalog = discover("shop-orders", **options)
    open_one = begin()
    cursor = open_one.cursor()
    cursor.execute("insert into shop.orders values (9, '2024-01-01 12:15+00')")
    cursor.execute("select pg_current_xact_id()::text")
    ((transaction,),) = cursor.fetchall()

    def is_visible(state):
        snapshot = state["shop-orders"]["snapshot"]
        ((visible,),) = execute(
            "select pg_visible_in_snapshot(%s::xid8, %s::pg_snapshot)", transaction, snapshot
        )
        return visible

    first = read(catalog)
    open_one.commit()
    second = read(catalog, first.state)
    assert (9 in ids(first), is_visible(first.state)) == (False, False)
    assert (9 in ids(second), is_visible(second.state)) == (True, True)


def test_the_snapshot_changes_only_when_a_stream_has_been_read_to_its_end(
    execute, incremental, sync, monkeypatch
):
    monkeypatch.setattr(Stream, "STATE_MSG_FREQUENCY", 1)
    execute("create table shop.orders (id integer primary key, n numeric)")
    execute("insert into shop.orders values (1, 1)")
    first = sync(incremental(key="id"))
    execute("insert into shop.orders values (2, 2), (3, 'NaN')")
    with pytest.raises(ReadError) as raised:
        sync(incremental(key="id"), first.state)
    interrupted = raised.value.recorder.state["shop-orders"]
    assert interrupted["replication_key_value"] == 2
    assert interrupted["snapshot"] == first.state["shop-orders"]["snapshot"]

    execute("update shop.orders set n = 3 where id = 3")
    resumed = sync(incremental(key="id"), {"shop-orders": interrupted})
    assert ids(resumed) == [2, 3]
    assert set(resumed.state["shop-orders"]) == {
        "replication_key", "replication_key_value", "snapshot"
    }  # fmt: skip
    assert resumed.state["shop-orders"]["snapshot"] != interrupted["snapshot"]


def test_a_tap_that_is_terminated_fails(execute, discover, start):
    execute("create table shop.orders as select n as id from generate_series(1, 20000) n")
    process = start(catalog=discover("shop-orders"))
    head = [process.stdout.readline() for _ in range(3)]
    process.terminate()
    rest, stderr = process.communicate()
    assert '"type":"RECORD"' in head[-1]
    assert "ACTIVATE_VERSION" not in rest
    assert process.returncode == 143
    assert "Traceback" not in stderr


def test_rows_are_read_in_the_order_of_an_index(orders, execute, settings, incremental):
    tap = TapPostgres(config=settings(), catalog=incremental())
    query = str(tap.streams["shop-orders"].build_query())
    assert query.endswith("ORDER BY shop.orders.updated_at ASC")


def test_a_filter_of_ones_own(orders, discover, read):
    options = {
        "shop-orders": {"custom_where_clauses": ["id < 3", "updated_at > '2024-01-01 11:00Z'"]}
    }
    assert ids(read(discover("shop-orders"), stream_options=options)) == [2]


def test_filters_and_stream_maps_work_as_in_the_stock_tap(orders, discover, sync):
    recorder = sync(
        discover("shop-orders"),
        stream_options={"shop-orders": {"custom_where_clauses": ["id < 3"]}},
        stream_maps={"shop-orders": {"__alias__": "renamed", "day": "updated_at[:10]"}},
    )
    assert [message["record"] for message in recorder.of("RECORD", "renamed")] == [
        {"id": 1, "updated_at": "2024-01-01T10:00:00+00:00", "day": "2024-01-01"},
        {"id": 2, "updated_at": "2024-01-01T12:00:00+00:00", "day": "2024-01-01"},
    ]


def test_the_standard_tests_of_the_sdk(every_type, execute, discover, settings):
    execute("create table shop.every_type as select * from kinds.every_type where id = 1")
    execute("alter table shop.every_type add primary key (id)")
    # The SDK's tests do not know a property of several types.
    execute("alter table shop.every_type drop c_json, drop c_jsonb")
    suite_config = SuiteConfig()
    runner = TapTestRunner(
        TapPostgres,
        config=settings(filter_schemas=["shop"]),
        suite_config=suite_config,
        catalog=discover("shop-every_type", config={"filter_schemas": ["shop"]}),
    )
    runner.sync_all()
    (stream,) = runner.new_tap().streams.values()
    count = 0
    for test in tap_tests.tests:
        test().run(suite_config, None, runner)
        count += 1
    for test in tap_stream_tests.tests:
        test().run(suite_config, None, runner, stream)
        count += 1
    for test in tap_stream_attribute_tests.tests:
        for name, schema in stream.schema["properties"].items():
            if test.evaluate(stream=stream, property_name=name, property_schema=schema):
                test().run(suite_config, None, runner, stream, name)
                count += 1
    assert count > 20

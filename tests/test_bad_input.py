"""What goes wrong ends in one clear line and a non-zero exit; nothing is lost, no state moves."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal

import duckdb
import psycopg
import pytest
from headwater_project import (
    Project,
    differences,
    project_in,
    source_tables,
    stuck,
    until,
    warehouse_tables,
    why,
)

LOAD = ("run", "tap-postgres", "target-duckdb")
HOLD = """
import duckdb, sys
connection = duckdb.connect(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""
BROKEN_TAP = """#!{python}
import json, sys
schema = {{"type": "object", "properties": {{"id": {{"type": "integer"}}}}}}
if "--discover" in sys.argv:
    catalog = [{{"tap_stream_id": "a-b", "stream": "a-b", "schema": schema, "metadata": []}}]
    print(json.dumps({{"streams": catalog}}))
else:
    print(json.dumps({{"type": "SCHEMA", "stream": "a-b", "schema": schema, "key_properties": []}}))
    print(json.dumps({{"type": "RECORD", "stream": "a-b", "record": {{"id": 1}}}}))
    print({line!r}, end="")
"""


@pytest.fixture(scope="module")
def loaded(project):
    done = project.meltano(*LOAD)
    assert done.code == 0, done.text
    return project


@pytest.fixture
def unmoved(loaded):
    """The project; in the end its state and its warehouse's rows are as before."""
    state, warehouse = loaded.state(), warehouse_tables(loaded.warehouse)
    yield loaded
    assert loaded.state() == state
    assert warehouse_tables(loaded.warehouse) == warehouse


def own_server(project: Project, **changes: str) -> dict[str, str]:
    """The sandbox's server, as if it were the user's own."""
    server = project.server
    return {
        "POSTGRES_HOST": server.host,
        "POSTGRES_PORT": str(server.port),
        "POSTGRES_USER": server.user,
        "POSTGRES_PASSWORD": server.password,
        "POSTGRES_DB": server.database,
        "SHOPIFY_SHOP": "rainbow-sandbox",
    } | changes


def test_a_wrong_password(unmoved):
    login = own_server(unmoved, POSTGRES_PASSWORD="wrong")
    line = why(unmoved.make("run", **login))
    assert 'password authentication failed for user "headwater"' in line
    assert line.endswith("(check POSTGRES_HOST, _PORT, _USER, _PASSWORD and _DB)")


def test_a_server_that_is_down(unmoved):
    line = why(unmoved.nightly(**own_server(unmoved, POSTGRES_PORT="1")))
    assert "Connection refused" in line
    assert line.endswith("(check POSTGRES_HOST, _PORT, _USER, _PASSWORD and _DB)")


def test_a_table_that_is_not_there(unmoved):
    select = '["rainbow-orders.*", "rainbow-refunds.*"]'
    line = why(unmoved.nightly(TAP_POSTGRES__SELECT=select))
    assert line == (
        "tap-postgres: the select pattern rainbow-refunds.* matches no column of any table"
    )


def test_a_login_that_is_not_set(unmoved):
    done = unmoved.make("run", POSTGRES_HOST="127.0.0.1", POSTGRES_USER="me")
    assert done.code != 0
    said = [line for line in done.err.splitlines() if not line.startswith("make: ***")]
    assert said == [
        "Error: POSTGRES_HOST is set (127.0.0.1), but not POSTGRES_PASSWORD, POSTGRES_DB: set what"
        " your server asks for, or unset POSTGRES_HOST for the sandbox"
    ]


def test_a_warehouse_that_somebody_holds(loaded):
    state = loaded.state()
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, loaded.warehouse],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout.readline() == "held\n"
        line = why(loaded.nightly(DUCKDB_LOCK_TIMEOUT_SECONDS="1"))
        holder.stdin.close()
    assert line.startswith(f"target-duckdb: the warehouse {loaded.warehouse} is held by ")
    assert f"(PID {holder.pid})" in line
    assert loaded.state() == state


def test_a_run_beside_another(loaded):
    with psycopg.connect(loaded.server.dsn) as connection:
        first = loaded.start("python", "orchestrate/run.py", "nightly")
        until(lambda: loaded.processes("headwater-tap-postgres", "--catalog"), "the tap")
        connection.execute("lock table rainbow.orders")
        until(loaded.server_waits, "the first run reading rainbow.orders")
        second = loaded.make("run")
    assert loaded.end(first).code == 0
    assert second.code != 0
    line, _ = second.err.splitlines()
    assert line.startswith(f"Another run is under way (process {first.pid}, since ")
    assert line.endswith("): start this one after it.")


def test_a_server_that_restarts_in_the_midst(loaded):
    bookmark = loaded.bookmarks()["rainbow-orders"]
    running = loaded.start("python", "orchestrate/run.py", "nightly")
    # The lock goes with its server.
    with suppress(psycopg.OperationalError), stuck(loaded, "headwater-tap-postgres", "--catalog"):
        loaded.server.stop()
    loaded.server.start()
    line = why(loaded.end(running))
    assert line == (
        "tap-postgres: rainbow-orders: terminating connection due to administrator command"
    )
    assert loaded.bookmarks()["rainbow-orders"] == bookmark
    done = loaded.meltano(*LOAD)
    assert done.code == 0, done.text
    assert [*(loaded.output / "batches").iterdir()] == []
    source = source_tables(loaded.server.dsn, "rainbow", "lana")
    assert differences(source, warehouse_tables(loaded.warehouse)) == {}


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Project]:
    """A project with 1 MiB for `output/`."""
    if os.geteuid() != 0:
        pytest.skip("mounting a tmpfs takes root")
    for project in project_in(tmp_path):
        project.output.mkdir()
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", project.output], check=True
        )
        yield project
        subprocess.run(["umount", project.output], check=True)


def test_a_full_disk(loaded, small_disk):
    server = own_server(loaded)
    line = why(small_disk.nightly(**server))
    assert line.startswith("target-duckdb: ")
    assert "No space left on device" in line
    assert small_disk.state() == {}
    subprocess.run(["mount", "-o", "remount,size=100m", small_disk.output], check=True)
    done = small_disk.meltano(*LOAD, **server)
    assert done.code == 0, done.text
    assert [*(small_disk.output / "batches").iterdir()] == []
    source = source_tables(loaded.server.dsn, "rainbow", "lana")
    assert differences(source, warehouse_tables(small_disk.warehouse)) == {}


def test_a_value_that_does_not_fit_and_the_setting_that_admits_it(loaded):
    bookmark = loaded.bookmarks()["rainbow-products"]
    number = Decimal("123456789012345678901234567890.5")
    with psycopg.connect(loaded.server.dsn) as connection:
        connection.execute(
            "update rainbow.products set weight_kg = %s, updated_at = '2026-07-01'"
            " where product_id = 7",
            [number],
        )
    line = why(loaded.nightly())
    assert line.startswith("tap-postgres: rainbow-products.weight_kg: a number of ")
    assert "{rainbow-products: {weight_kg: {x-sql-datatype: text}}}" in line
    assert str(number) not in line
    assert loaded.bookmarks()["rainbow-products"] == bookmark
    schema = '{"rainbow-products": {"weight_kg": {"x-sql-datatype": "text"}}}'
    done = loaded.meltano(*LOAD, TAP_POSTGRES__SCHEMA=schema)
    assert done.code == 0, done.text
    with duckdb.connect(str(loaded.warehouse), read_only=True) as connection:
        rows = dict(
            connection.execute("select product_id, weight_kg from raw_rainbow.products").fetchall()
        )
    assert rows[7] == str(number)
    with psycopg.connect(loaded.server.dsn) as connection:
        weights = dict(
            connection.execute("select product_id, weight_kg from rainbow.products").fetchall()
        )
    assert {key: value and Decimal(value) for key, value in rows.items()} == weights


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"type": "RECORD", "stream": "a-b", "rec', "no Singer message, or is cut short ("),
        ("Ready.\n", "no Singer message ("),
    ],
)
def test_a_tap_that_does_not_speak_singer(tmp_path, line, said):
    for project in project_in(tmp_path):
        tap = project.root / "tap"
        tap.write_text(BROKEN_TAP.format(python=sys.executable, line=line))
        tap.chmod(0o755)
        extractors = project.root / "extract/extractors.meltano.yml"
        text = extractors.read_text()
        extractors.write_text(text.replace("headwater-tap-postgres #", "./tap #"))
        done = project.nightly(TAP_POSTGRES__SELECT='["*.*"]', TAP_POSTGRES__METADATA="{}")
        assert why(done).startswith(f"target-duckdb: line 3 of the input is {said}")
        assert project.state() == {}


def test_an_output_folder_that_is_none(loaded, tmp_path):
    for project in project_in(tmp_path):
        project.output.write_text("in the way")
        done = project.run("python", "orchestrate/run.py", "nightly", **own_server(loaded))
        assert done.code != 0
        assert done.text == (
            f"Cannot write to {project.output}: File exists. Make it a writable folder.\n"
        )
        done = project.make("run")
        assert done.code != 0
        assert "Traceback" not in done.text
        assert str(project.output) in done.err.splitlines()[0]
        project.output.unlink()


def test_in_the_end_nothing_is_lost(loaded):
    schema = '{"rainbow-products": {"weight_kg": {"x-sql-datatype": "text"}}}'
    done = loaded.meltano(*LOAD, "reconcile:check", TAP_POSTGRES__SCHEMA=schema)
    assert done.code == 0, done.text
    assert "Every row arrived." in done.text
    source = source_tables(loaded.server.dsn, "rainbow", "lana")
    found = differences(source, warehouse_tables(loaded.warehouse))
    # The column of the value that did not fit is text now.
    assert found.keys() == {"rainbow-products"}

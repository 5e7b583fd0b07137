"""A database that nobody here designed, pointed at by the environment alone."""

from pathlib import Path

import psycopg
import pytest
from headwater_project import (
    differences,
    project_in,
    source_tables,
    warehouse_tables,
)
from headwater_sandbox.postgres import Server

COUNTS = {
    "odd-categories": 3,
    "odd-regions": 3,
    "odd-employees": 4,
    "odd-Order Lines": 3,
    "odd-notes": 4,
    "odd-papers": 3,
    "odd-empty": 0,
    "odd-readings": 5,
    "odd-staff": 4,
    "odd-totals": 2,
}
LOAD = ("run", "tap-postgres", "target-duckdb", "reconcile:check")


# How tables travel in the first load, and in the second.
COLUMNS: dict[str, str] = {}
ROWS = {"TAP_POSTGRES_BATCH_CONFIG": "{}"}


@pytest.fixture(
    scope="module",
    params=[(COLUMNS, ROWS), (ROWS, COLUMNS)],
    ids=["columns, then rows", "rows, then columns"],
)
def lanes(request):
    return request.param


@pytest.fixture(scope="module")
def server(tmp_path_factory, lanes):
    with Server(tmp_path_factory.mktemp("foreign")) as server:
        with psycopg.connect(server.dsn) as connection:
            connection.execute((Path(__file__).parent / "fixtures/foreign.sql").read_text())
        yield server


@pytest.fixture(scope="module")
def environment(server):
    """All that a user sets."""
    return {
        "POSTGRES_HOST": server.host,
        "POSTGRES_PORT": str(server.port),
        "POSTGRES_USER": server.user,
        "POSTGRES_PASSWORD": server.password,
        "POSTGRES_DB": server.database,
        "TAP_POSTGRES_FILTER_SCHEMAS": '["odd"]',
        # The sandbox's shop stays down too; Postgres alone is read.
        "SHOPIFY_SHOP": "acme",
        # A partitioned table is read by its own name.
        "TAP_POSTGRES__SELECT": '["odd-*.*", "!odd-readings_*.*"]',
        "TAP_POSTGRES__METADATA": '{"*": {"replication-method": "FULL_TABLE"}}',
    }


@pytest.fixture(scope="module")
def project(tmp_path_factory, lanes):
    yield from project_in(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def loaded(project, server, environment, lanes):
    done = project.meltano(*LOAD, **environment, **lanes[0])
    assert (project.output / "batches").exists() == (lanes[0] is COLUMNS)
    return done, source_tables(server.dsn, "odd"), warehouse_tables(project.warehouse)


def test_every_table_arrives_with_every_value(loaded):
    done, source, warehouse = loaded
    assert done.code == 0, done.text
    assert {stream: table.rows.total() for stream, table in warehouse.items()} == COUNTS
    assert differences(source, warehouse) == {}
    assert "Every row arrived." in done.text


def test_the_sandbox_is_not_started_beside_it(project, environment, loaded):
    done = project.meltano("invoke", "sandbox", "up", **environment)
    assert done.code == 0
    assert "the sandbox's Postgres stays down" in done.text
    assert not project.server.is_running
    assert not project.shop.is_running


def test_changes_arrive_and_what_went_is_marked(project, server, environment, loaded, lanes):
    with psycopg.connect(server.dsn) as connection:
        connection.execute("""
            delete from odd.categories where category_id = 2;
            delete from odd."Order Lines" where "line no" = 2;
            update odd.regions set label = 'Huế' where code = '';
            insert into odd.notes (body) values ('same');
            delete from odd.readings where id = 1;
            insert into odd.empty values (1, 'epoch')
        """)
    done = project.meltano(*LOAD, **environment, **lanes[1])
    assert done.code == 0, done.text
    assert [*(project.output / "batches").iterdir()] == []
    _, before, _ = loaded
    source, warehouse = source_tables(server.dsn, "odd"), warehouse_tables(project.warehouse)
    # Without a key, each reading replaces the one before.
    gone = {
        stream: before[stream].gone(table) if table.keys else before[stream].rows
        for stream, table in source.items()
    }
    assert differences(source, warehouse, gone) == {}

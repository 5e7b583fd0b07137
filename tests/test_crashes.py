"""Killed with -9 anywhere, the next run starts by itself and ends right."""

from collections import Counter

import pytest
from headwater_project import (
    Project,
    differences,
    kill,
    source_tables,
    stuck,
    until,
    warehouse_tables,
)
from shop_documents import landed, sent, unlike


def while_loading(name: str):
    def strike(project: Project) -> None:
        with stuck(project, "headwater-tap-postgres", "--catalog"):
            kill(project.processes(*name.split()))

    return strike


def while_reading_the_shop(name: str):
    def strike(project: Project) -> None:
        # Orders are the last of the shop's streams but for what is read of them.
        held = {"kind": "slow", "on": ["download"], "value": "10"}
        project.shop.faults("POST", held)
        until(lambda: not project.shop.faults(), "the tap reading the shop's orders")
        kill(project.processes(*name.split()))

    return strike


def while_reconciling(project: Project) -> None:
    with stuck(project, "reconcile", "check"):
        kill(project.processes("reconcile", "check"))


def while_building(project: Project) -> None:
    log = project.output / "dbt/logs/dbt.log"
    (dbt,) = until(lambda: project.processes("dbt", "build"), "dbt")
    until(
        lambda: log.exists() and "OK created sql" in log.read_text().rpartition("=====")[2],
        "dbt having made a model",
    )
    kill([dbt])


STRIKES = {
    "tap": while_loading("headwater-tap-postgres --catalog"),
    "loader": while_loading("target-duckdb --config"),
    "Shopify tap": while_reading_the_shop("tap-shopify --catalog"),
    "Shopify mapper": while_reading_the_shop("regroup-children --config"),
    "Shopify loader": while_reading_the_shop("target-duckdb --config"),
    "meltano": while_loading("meltano run"),
    "reconcile": while_reconciling,
    "dbt": while_building,
    # Meltano then goes on alone, beside the next run.
    "the run itself": while_loading("run.py nightly"),
}


@pytest.fixture(scope="module")
def snapshots(project):
    """A run killed in each way, a day passing between them; then one that is not killed. What the
    source had at each of them."""
    seen = []
    for name, strike in STRIKES.items():
        running = project.start("python", "orchestrate/run.py", "nightly")
        try:
            strike(project)
        except AssertionError as error:
            running.kill()
            raise AssertionError(f"{name}: {error}\n{project.end(running).text}") from error
        done = project.end(running)
        assert done.code != 0, name
        assert "Another run is under way" not in done.text
        seen.append(source_tables(project.server.dsn, "rainbow", "lana"))
        project.tick()
    seen.append(source_tables(project.server.dsn, "rainbow", "lana"))
    return seen


def test_the_next_run_starts_by_itself_and_ends_right(project, snapshots):
    done = project.make("run")
    assert done.code == 0, done.text
    assert "Every row arrived." in done.out
    assert all(counts["lost"] == 0 for counts in done.table.values())
    warehouse = warehouse_tables(project.warehouse)
    # A row may have come and gone with nobody reading it whole in between: marked rows are some
    # of those that went.
    *_, source = snapshots
    gone = {
        stream: Counter()
        + sum((before[stream].gone(source[stream]) for before in snapshots), Counter())
        for stream in source
    }
    marked = {stream: table.deleted for stream, table in warehouse.items()}
    assert differences(source, warehouse, marked) == {}
    assert all(marked[stream] <= gone[stream] for stream in source)
    assert sum(rows.total() for rows in marked.values()) > 0
    assert all(counts["source"] == counts["warehouse"] for counts in done.table.values())
    assert unlike(landed(project), sent(project)) == []
    assert [*(project.output / "batches").iterdir()] == [], "files that a killed run has left"
    servers = project.processes("postgres") + project.processes("headwater_sandbox.shopify.server")
    assert {*project.processes()} == {*servers}

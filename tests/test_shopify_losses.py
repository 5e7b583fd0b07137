"""What the Shopify tap loses with exit code 0 turns the job red, by name; the command that is
printed brings it back. Lines that are not grouped are lost only without the mapper."""

import re

import pytest
from headwater_project import Done, Project
from headwater_reconcile.windows import reread
from shop_documents import landed, sent, unlike

pytestmark = pytest.mark.slow

CHECKS = True


def first_cause(done: Done) -> str:
    """The first line at the end of a failed run."""
    assert done.code != 0, done.text
    said = done.err.partition("  The run did not end well.\n")[2].splitlines()
    assert said, done.text
    return said[0].strip()


def repair(project: Project, done: Done) -> None:
    """Run the command that a red run has printed, as a person would paste it; reconcile and dbt
    print the same one."""
    printed, since = re.search(r"(read it again: \w+=(\S+) .*)$", first_cause(done)).groups()
    assert printed == reread("orders", since)
    _, _, command = printed.partition(": ")
    done = project.run("sh", "-c", command)
    assert done.code == 0, done.text


def harmed(project: Project) -> list[tuple[str, str]]:
    """When they changed and the names of the orders that have not landed with their own lines."""
    ours = landed(project)["orders"]
    return sorted(
        (order["updatedAt"], order["name"])
        for id_, order in sent(project)["orders"].items()
        if [line["id"] for line in ours[id_]["lineItems"]]
        != [line["id"] for line in order["lineItems"]]
    )


@pytest.fixture(scope="module")
def skipped(project):
    """The first night, in which the question for the bulk operation's state is throttled."""
    project.shop.faults("POST", {"kind": "throttled", "on": ["poll"]})
    done = project.nightly()
    return done, landed(project)


@pytest.fixture(scope="module")
def repaired(project, skipped):
    repair(project, skipped[0])
    return landed(project), project.nightly()


@pytest.fixture(scope="module")
def unmapped(project, repaired):
    """All orders read once more, this time without lines-to-orders behind the tap; then a night."""
    arguments = ("--full-refresh", "--state-id-suffix=once", "tap-shopify", "target-duckdb")
    done = project.meltano("run", *arguments)
    # The night reads the newest order once more by itself.
    return done, project.nightly(), harmed(project)


def test_a_throttled_poll_skips_all_orders_and_turns_the_job_red(project, skipped):
    done, ours = skipped
    assert project.shop.faults() == []
    assert ours["orders"] == {}
    theirs = sent(project)
    assert ours["transactions"].keys() == theirs["transactions"].keys()
    times = sorted(order["updatedAt"][:10] for order in theirs["orders"].values())
    line = first_cause(done)
    assert f"orders: {len(theirs['orders'])} lost, of {times[0]} to {times[-1]}: id = " in line


def test_the_printed_command_brings_the_orders_back(project, repaired):
    ours, done = repaired
    assert ours["orders"].keys() == sent(project)["orders"].keys()
    assert done.code == 0, done.text
    assert "Every row arrived." in done.out


def test_each_line_lands_on_its_order(project, repaired):
    assert unlike(landed(project), sent(project)) == []


def test_without_the_mapper_lines_land_on_other_orders_and_turn_the_job_red(unmapped):
    load, done, orders = unmapped
    assert load.code == 0
    assert len(orders) > 5
    assert "Every row arrived." in done.err
    times, names = zip(*orders, strict=True)
    line = first_cause(done)
    assert line.startswith(f"dbt: Failure in the lines of {len(orders)} orders: ")
    assert f"{', '.join(names[:5])}, …; read it again: TAP_SHOPIFY_START_DATE={times[0]} " in line


def test_the_printed_command_brings_the_lines_back(project, unmapped):
    _, done, _ = unmapped
    repair(project, done)
    assert harmed(project) == []
    done = project.nightly()
    assert done.code == 0, done.text
    assert "Every row arrived." in done.out

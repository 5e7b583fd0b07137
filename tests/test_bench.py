"""That `make bench` sees all processes and all values, and judges no side that lost some."""

import subprocess
import sys

import bench_bulk
import duckdb
import pytest
from bench_bulk import FLOOR, PIPE, Side, compare
from bench_process import family, held, measure
from bench_tables import Tables, landed_checksums

PAIR = Tables("s", ("t",), {"id": ("int8", ""), "note": ("text", "")}, rows=2)
WHOLE = "(1, 'one'), (2, null)"


def warehouse(path, rows):
    with duckdb.connect(str(path)) as connection:
        connection.execute("create schema s")
        connection.execute(f"create table s.t as select * from (values {rows}) as v (id, note)")
    return path


def side(name, rows):
    code = (
        "import duckdb; c = duckdb.connect('warehouse.duckdb'); c.execute('create schema s'); "
        f'c.execute("create table s.t as select * from (values {rows}) as v (id, note)")'
    )
    return Side(name, 1, "s", (sys.executable, "-c", code), {})


@pytest.mark.parametrize(
    ("rows", "is_same"),
    [
        ("(2, null), (1, 'one')", True),
        ("(1, 'one')", False),
        ("(1, 'one'), (2, null), (2, null)", False),
        ("(1, 'one'), (2, '')", False),
        ("(1, 'one '), (2, null)", False),
        ("(2, 'one'), (1, null)", False),
    ],
)
def test_checksums_tell_other_rows(tmp_path, rows, is_same):
    one, other = (
        landed_checksums(warehouse(tmp_path / f"{name}.duckdb", values), "s", PAIR)
        for name, values in (("one", WHOLE), ("other", rows))
    )
    assert (one == other) is is_same


def test_a_side_that_lost_a_row_has_no_ratio(tmp_path, monkeypatch, capsys):
    expected = landed_checksums(warehouse(tmp_path / "source.duckdb", WHOLE), "s", PAIR)
    monkeypatch.setattr(bench_bulk, "source_checksums", lambda dsn, tables: expected)
    monkeypatch.setattr(bench_bulk, "OUTPUT", tmp_path)
    sides = [side(PIPE, WHOLE), side(FLOOR, WHOLE), side("dlt", "(1, 'one')")]
    results = compare("two rows", "", PAIR, sides, rows=2)
    assert [r["case"] for r in results if r["metric"] == "ratio"] == [f"two rows: {PIPE} / {FLOOR}"]
    (said,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("dlt"))
    assert said.endswith("not all that the source has")


def test_a_command_that_fails_is_no_measurement(tmp_path):
    with pytest.raises(AssertionError, match="no such luck"):
        measure(("bash", "-c", "echo no such luck; exit 3"), tmp_path, {})


def test_the_memory_of_children_counts():
    hold = "held = bytearray(100_000_000); print(flush=True); input()"
    command = f"{sys.executable} -c '{hold}'; true"
    with subprocess.Popen(
        ("bash", "-c", command), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        _, child = family(process.pid)
        own, mapped = held(child)
        process.stdin.close()
    assert own * 1024 > 100_000_000
    assert mapped > 0
    assert held(child) == (0, 0)

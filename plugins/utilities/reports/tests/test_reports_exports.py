"""Exports: exact values, a manifest that is true of the files, one night's files at a time."""

import csv
import hashlib
import json
from decimal import Decimal

import pyarrow.parquet as pq
import pytest
from headwater_reports import exports
from headwater_reports.warehouse import open_warehouse


@pytest.fixture
def export(execute, source, tmp_path):
    def run():
        with open_warehouse() as reader:
            return exports.build(reader, source, tmp_path / "reports")

    return run


def contents(manifest):
    return {file["file"]: file for file in json.loads(manifest.read_text())["files"]}


def test_values_are_exact(export):
    folder = export().parent
    sales = pq.read_table(folder / "total_sales.parquet").to_pylist()
    assert [(row["channel"], row["currency_code"], row["net_sales"]) for row in sales] == [
        ("app", "USD", Decimal("0.10")),
        ("app", "VND", None),
        ("shopify", "VND", Decimal("1234567890123456.78")),
    ]
    with (folder / "total_sales.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [
            ["channel", "currency_code", "order_count", "net_sales"],
            ["app", "USD", "1", "0.10"],
            ["app", "VND", "3", ""],
            ["shopify", "VND", "2", "1234567890123456.78"],
        ]


def test_times_name_their_zone(export):
    folder = export().parent
    (row,) = pq.read_table(folder / "customer_report.parquet").to_pylist()
    assert row["first_order_at"].isoformat() == "2026-01-02T03:04:05.000006+00:00"
    lines = (folder / "customer_report.csv").read_text().splitlines()
    assert lines[1] == '"p1",2026-01-02 03:04:05.000006Z,2026-01-02'


def test_the_manifest_is_true_of_the_files(export):
    manifest = export()
    said = json.loads(manifest.read_text())
    assert said["data_loaded_at"] == "2026-06-30T19:00:00Z"
    files = contents(manifest)
    assert files.keys() == {
        f"{view}.{suffix}"
        for view in ("customer_report", "total_sales")
        for suffix in ("csv", "parquet")
    }
    assert {path.name for path in manifest.parent.iterdir()} == {*files, "manifest.json"}
    for name, file in files.items():
        content = (manifest.parent / name).read_bytes()
        assert file["bytes"] == len(content)
        assert file["sha256"] == hashlib.sha256(content).hexdigest()
        assert file["view"] == f"reporting.{name.partition('.')[0]}"
    assert files["total_sales.csv"]["rows"] == 3
    assert files["total_sales.csv"]["columns"] == [
        {"name": "channel", "type": "string"},
        {"name": "currency_code", "type": "string"},
        {"name": "order_count", "type": "int32"},
        {"name": "net_sales", "type": "decimal128(38, 2)"},
    ]


def test_equal_rows_make_equal_files(export, execute):
    before = contents(export())
    execute(
        "create or replace table reporting.total_sales as "
        "from reporting.total_sales order by channel desc, order_count"
    )
    assert contents(export()) == before
    execute(
        "update reporting.total_sales set net_sales = net_sales + 0.01 where channel = 'shopify'"
    )
    after = contents(export())
    changed = {name for name in after if after[name]["sha256"] != before[name]["sha256"]}
    assert changed == {"total_sales.csv", "total_sales.parquet"}


def test_a_reader_finds_one_nights_files_whatever_happens(export, execute, monkeypatch):
    manifest = export()
    before = manifest.read_text()
    link = manifest.parent
    held = link.resolve()  # by someone who reads while the next night's are written
    execute("delete from reporting.total_sales")

    def breaks(table, path):
        assert link.resolve() == held
        assert manifest.read_text() == before
        raise OSError(28, "No space left on device", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(exports.pa.csv, "write_csv", breaks)
        with pytest.raises(OSError, match="No space left"):
            export()
    assert manifest.read_text() == before
    assert contents(export())["total_sales.csv"]["rows"] == 0
    assert held.is_dir()
    export()
    assert not held.exists()
    # This night's, the one before, and no leftover of the one that broke.
    assert len(list(link.parent.iterdir())) == 3


def test_a_missing_view_has_no_files(export, execute):
    execute("drop table reporting.customer_report")
    assert contents(export()).keys() == {"total_sales.csv", "total_sales.parquet"}

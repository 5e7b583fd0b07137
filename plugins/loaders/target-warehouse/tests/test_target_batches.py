"""BATCH messages: files that are loaded as they are."""

import datetime as dt
import gzip
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from singer_messages import Loader, message, record, schema

SCHEMA = schema(
    "s-t",
    ["id"],
    id="integer",
    n={"type": ["number", "null"], "x-sql-datatype": "numeric(20,4)"},
    at={"type": ["string", "null"], "format": "date-time"},
    doc={"type": ["object", "null"]},
)


def batch(*paths: Path, form: str = "parquet", compression: str | None = None) -> str:
    encoding = {"format": form} | ({"compression": compression} if compression else {})
    return message("BATCH", "s-t", encoding=encoding, manifest=[p.as_uri() for p in paths])


def parquet(path: Path, ids: list[int], n: str = "1.5") -> Path:
    rows = {
        "id": pa.array(ids, pa.int32()),
        "n": pa.array([Decimal(n)] * len(ids), pa.decimal128(20, 4)),
        "at": pa.array(
            [dt.datetime(2024, 1, 1, tzinfo=dt.UTC)] * len(ids), pa.timestamp("us", "UTC")
        ),
        "doc": pa.array(['{"a": 12345678901234567890.123456789}'] * len(ids)),
    }
    pq.write_table(pa.table(rows), path)
    return path


def test_parquet_files_land_as_they_are(loader: Loader, tmp_path: Path) -> None:
    loader.run(
        SCHEMA,
        batch(parquet(tmp_path / "a b.parquet", [1, 2]), parquet(tmp_path / "c.parquet", [3])),
    )
    assert loader.query('select id, n, "at", doc from raw_s.t order by id') == [
        (i, Decimal("1.5000"), dt.datetime(2024, 1, 1), '{"a": 12345678901234567890.123456789}')
        for i in (1, 2, 3)
    ]
    assert loader.query("select rows_received, rows_inserted, bytes > 0 from _headwater.loads") == [
        (3, 3, True)
    ]


def test_the_last_of_equal_keys_wins_across_files_and_records(
    loader: Loader, tmp_path: Path
) -> None:
    loader.run(
        SCHEMA,
        record("s-t", id=1, n=1),
        record("s-t", id=2, n=1),
        batch(
            parquet(tmp_path / "a.parquet", [2, 3], "2"),
            parquet(tmp_path / "b.parquet", [3, 4], "3"),
        ),
        record("s-t", id=4, n=4),
    )
    assert loader.query("select id, n::int from raw_s.t order by id") == [
        (1, 1),
        (2, 2),
        (3, 3),
        (4, 4),
    ]


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_jsonl_files(loader: Loader, tmp_path: Path, compression: str | None) -> None:
    path = tmp_path / "rows"
    lines = b'{"id": 1, "n": 12.3456, "doc": {"a": 1}}\n{"id": 2}\n'
    path.write_bytes(gzip.compress(lines) if compression else lines)
    loader.run(SCHEMA, batch(path, form="jsonl", compression=compression))
    assert loader.query("select id, n, doc from raw_s.t order by id") == [
        (1, Decimal("12.3456"), '{"a": 1}'),
        (2, None, None),
    ]


def test_a_batch_belongs_to_the_version_announced(loader: Loader, tmp_path: Path) -> None:
    for version, ids in ((1, [1, 2]), (2, [1])):
        announce = message("ACTIVATE_VERSION", "s-t", version=version)
        loader.run(SCHEMA, announce, batch(parquet(tmp_path / f"{version}.parquet", ids)), announce)
    assert loader.query("select id, _sdc_deleted_at is null from raw_s.t order by id") == [
        (1, True),
        (2, False),
    ]


@pytest.mark.parametrize(
    ("column", "told"),
    [
        (
            pa.array([1.5], pa.float64()),
            "s-t.n: the batch file's double does not fit decimal(20, 4)",
        ),
        (
            pa.array([Decimal("1.23456")], pa.decimal128(20, 5)),
            "s-t.n: the batch file's decimal128(20, 5)",
        ),
    ],
)
def test_a_file_whose_type_would_bend_is_refused(
    loader: Loader, tmp_path: Path, column, told: str
) -> None:
    pq.write_table(pa.table({"id": pa.array([1]), "n": column}), tmp_path / "a.parquet")
    assert told in loader.fail(SCHEMA, batch(tmp_path / "a.parquet"), message("STATE", value={}))


def test_a_missing_file_is_named(loader: Loader, tmp_path: Path) -> None:
    line = loader.fail(SCHEMA, batch(tmp_path / "gone.parquet"), message("STATE", value={}))
    assert f"s-t: the batch file {tmp_path / 'gone.parquet'} is not there" in line


def test_a_parquet_key_that_is_null_is_refused(loader: Loader, tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": pa.array([1, None], pa.int64())}), tmp_path / "a.parquet")
    line = loader.fail(SCHEMA, batch(tmp_path / "a.parquet"), message("STATE", value={}))
    assert line == 'Error: s-t: 1 rows have no value for their key "id"'

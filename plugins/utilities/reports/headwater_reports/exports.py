"""Reporting views as Parquet and CSV files, with a manifest of what is in them."""

import datetime as dt
import hashlib
import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import yaml

from headwater_reports.dashboard import FRESHNESS, loaded_at
from headwater_reports.warehouse import Reader

MANIFEST = "manifest.json"
UTC = pa.timestamp("us", "UTC")


def build(reader: Reader, source: Path, output: Path) -> Path:
    """Export the views that `source`/exports.yml names to `output`/exports; returns the manifest.

    `exports` is a link to the folder of this night, swapped in once it is whole: a reader finds
    the files of one night, never of two. The folder before stays until the next night, for who
    reads it still.

    Raises:
        LoadError: the warehouse cannot answer.
    """
    link = output / "exports"
    former = link.resolve()
    for left in output.glob(".exports-*"):
        if left != former:
            shutil.rmtree(left)
    now = dt.datetime.now(dt.UTC)
    folder = output / f".exports-{now:%Y%m%dT%H%M%S%f}"
    folder.mkdir(parents=True)
    views = yaml.safe_load((source / "exports.yml").read_text())
    manifest = {
        "data_loaded_at": loaded_at(reader.view(FRESHNESS)),
        "written_at": f"{now:%Y-%m-%dT%H:%M:%SZ}",
        "files": [file for view in views for file in _export(reader, view, folder)],
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
    new = output / ".exports.new"
    new.unlink(missing_ok=True)
    new.symlink_to(folder.name)
    new.replace(link)
    return link / MANIFEST


def _export(reader: Reader, view: str, folder: Path) -> Iterable[dict[str, Any]]:
    """Write a view's files; yields what the manifest says of each. A missing view has none."""
    table = reader.view(view)
    if table is None:
        return
    table = _settled(table)
    for suffix, write in (("parquet", pa.parquet.write_table), ("csv", pa.csv.write_csv)):
        path = folder / f"{view}.{suffix}"
        write(table, path)
        content = path.read_bytes()
        yield {
            "file": path.name,
            "view": f"reporting.{view}",
            "rows": table.num_rows,
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "columns": [{"name": f.name, "type": str(f.type)} for f in table.schema],
        }


def _settled(table: pa.Table) -> pa.Table:
    """The table in one order, its times in UTC by name: equal rows make equal files."""
    for number, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type):
            table = table.set_column(number, field.name, table[number].cast(UTC))
    return table.sort_by([(name, "ascending") for name in table.column_names])

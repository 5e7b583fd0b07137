"""The copy of the warehouse file that people and reports read while the next run writes."""

import os
import shutil
from pathlib import Path

from headwater_target_warehouse.duckdb import DuckDBWarehouse


def published_path(warehouse: Path) -> Path:
    return warehouse.with_name(f"{warehouse.stem}-read{warehouse.suffix}")


def publish(warehouse: DuckDBWarehouse) -> Path:
    """Copy an open warehouse and swap the copy in at once; returns its path.

    Nobody writes meanwhile, as the warehouse is open here. Who has the former copy open keeps it.
    The warehouse is closed when this returns. Its views must not name the file's catalog, which
    the copy has not: dbt's do not (transform/macros/cross_db/portable.sql).

    Raises:
        OSError: the copy cannot be written.
    """
    path = published_path(warehouse.path)
    new = path.with_name(f"{path.name}.new")
    for leftover in (new, _log(new)):
        leftover.unlink(missing_ok=True)
    warehouse.execute("checkpoint")
    # Until the warehouse is closed this file must not be: to close it drops the process's lock.
    with warehouse.path.open("rb") as file, warehouse:
        with new.open("wb") as copy:
            shutil.copyfileobj(file, copy, 16 << 20)
        with new.open("rb") as copy:
            os.fsync(copy.fileno())
        # A log beside the old copy, from someone who wrote to it, is not the new one's.
        _log(path).unlink(missing_ok=True)
        new.replace(path)
    return path


def _log(path: Path) -> Path:
    return path.with_name(f"{path.name}.wal")

"""The Parquet files of BATCH messages: where they are, and how they are written."""

import itertools
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet

# As many rows as DuckDB keeps together: what comes in whole groups costs it half as much.
GROUP_ROWS = 122_880
# Of wide rows fewer are held at a time.
GROUP_BYTES = 64 << 20
# Enough that a file's own cost does not count, few enough that loading starts early.
ROWS_PER_FILE = 2 * GROUP_ROWS
# The process that has started tap and loader, when it started, and the tap.
_NAME = re.compile(r"(\d+)-(\d+)-\d+")


class BatchFolder:
    """Where this process writes its files: they are the loader's once it is told of them.

    Tap and loader have been started by one process, and the folder is named after it: while it
    lives the files may be needed. Those of a dead one are what a crash has left.
    """

    def __init__(self, root: Path, prefix: str = "") -> None:
        self._root, self._prefix = root, prefix
        self._numbers = itertools.count(1)

    def new_file(self) -> Path:
        return self._path / f"{self._prefix}{next(self._numbers)}.parquet"

    @cached_property
    def _path(self) -> Path:
        for folder in self._root.glob("*"):
            if (name := _NAME.fullmatch(folder.name)) and not _is_alive(*map(int, name.groups())):
                shutil.rmtree(folder, ignore_errors=True)
        process = psutil.Process()
        starter = process.parent() or process
        path = self._root / f"{starter.pid}-{starter.create_time():.0f}-{process.pid}"
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        return path


def _is_alive(pid: int, started: int) -> bool:
    """Whether the process that started then, in epoch seconds, lives; its number may be reused."""
    try:
        # The clock by which it has started may have been set since.
        return abs(psutil.Process(pid).create_time() - started) < 10
    except psutil.NoSuchProcess:
        return False


@dataclass(frozen=True)
class BatchFile:
    """A finished file; `last` is its last row's value of the column asked for."""

    path: Path
    rows: int
    last: Any


def write_files(
    batches: Iterator[pa.RecordBatch], folder: BatchFolder, rows: int, column: str | None
) -> Iterator[BatchFile]:
    """Yield each file as soon as it is finished: when it has at least `rows` rows, or all."""
    file: _File | None = None
    try:
        for batch in batches:
            while batch.num_rows:
                file = file or _File(folder.new_file(), batch.schema, column, min(rows, GROUP_ROWS))
                batch = file.take(batch)
                if file.rows >= rows:
                    finished, file = file.close(), None
                    yield finished
        if file:
            yield file.close()
    except BaseException:
        if file:
            file.path.unlink(missing_ok=True)
        raise


class _File:
    """A file that is being written, a row group at a time: no more of its rows is held."""

    def __init__(self, path: Path, schema: pa.Schema, column: str | None, group_rows: int) -> None:
        self.path, self.rows = path, 0
        self._column, self._last = column, None
        self._waiting: list[pa.RecordBatch] = []
        self._group_rows = group_rows
        self._room, self._bytes = group_rows, 0
        # All of it is read, once: what would help to find a part of it is not made.
        self._writer = pyarrow.parquet.ParquetWriter(
            path,
            schema,
            compression="zstd",
            use_dictionary=False,
            write_statistics=False,
            store_decimal_as_integer=True,
        )

    def take(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Take as many rows as the row group has room for; returns the others."""
        taken, others = batch.slice(0, self._room), batch.slice(self._room)
        if self._column:
            self._last = taken[self._column][-1].as_py()
        self._waiting.append(taken)
        self._room -= taken.num_rows
        self._bytes += taken.nbytes
        if not self._room or self._bytes >= GROUP_BYTES:
            self._write()
        return others

    def _write(self) -> None:
        group = pa.Table.from_batches(self._waiting)
        self._waiting.clear()
        self._room, self._bytes = self._group_rows, 0
        self._writer.write_table(group, row_group_size=group.num_rows)
        self.rows += group.num_rows

    def close(self) -> BatchFile:
        if self._waiting:
            self._write()
        self._writer.close()
        return BatchFile(self.path, self.rows, self._last)

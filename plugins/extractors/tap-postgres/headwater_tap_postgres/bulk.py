"""The bulk lane: what a query yields, as Arrow, and in Parquet files for BATCH messages."""

import itertools
import os
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import adbc_driver_postgresql.dbapi
import pyarrow as pa
import pyarrow.parquet

# Enough rows that a file's own cost does not count, few enough that loading starts early.
ROWS_PER_FILE = 250_000


class BulkConnection:
    """One connection for all streams, opened when the first one is read."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    @cached_property
    def _connection(self) -> adbc_driver_postgresql.dbapi.Connection:
        return adbc_driver_postgresql.dbapi.connect(self._dsn)

    @contextmanager
    def transaction(self, settings: Iterable[str]) -> Iterator["Transaction"]:
        """A transaction that the statements in `settings` begin and that leaves no trace."""
        try:
            with self._connection.cursor() as cursor:
                for statement in settings:
                    cursor.execute(statement)
                yield Transaction(cursor)
        finally:
            self._connection.rollback()


class Transaction:
    def __init__(self, cursor: adbc_driver_postgresql.dbapi.Cursor) -> None:
        self._cursor = cursor

    def value(self, query: str) -> str:
        """The only value of the only row."""
        self._cursor.execute(query)
        return self._cursor.fetchone()[0]

    def batches(self, query: str) -> Iterator[pa.RecordBatch]:
        """The rows. While one batch is used, a thread waits for the next one."""
        with ThreadPoolExecutor(1) as pool:
            try:
                pool.submit(self._cursor.execute, query).result()
                reader = self._cursor.fetch_record_batch()
                following = pool.submit(next, reader, None)
                while (batch := following.result()) is not None:
                    following = pool.submit(next, reader, None)
                    if batch.num_rows:
                        yield batch
            except BaseException:
                with suppress(adbc_driver_postgresql.dbapi.Error):
                    self._cursor.adbc_cancel()  # so that the thread ends
                raise


class BatchFolder:
    """Where this process writes its files: they are the loader's once it is told of them.

    The folder's name has the process that started tap and loader: while that lives, the files are
    needed; those of a dead one are removed.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._numbers = itertools.count(1)

    def new_file(self) -> Path:
        return self._path / f"{next(self._numbers)}.parquet"

    @cached_property
    def _path(self) -> Path:
        for folder in self._root.glob("*-*"):
            starter, _, _ = folder.name.partition("-")
            if starter.isdecimal() and not _is_alive(int(starter)):
                shutil.rmtree(folder, ignore_errors=True)
        path = self._root / f"{os.getppid()}-{os.getpid()}"
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        return path


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


@dataclass(frozen=True)
class BatchFile:
    """A finished file; `last` is its last row's value of the column asked for."""

    path: Path
    rows: int
    last: object


def write_files(
    batches: Iterator[pa.RecordBatch], folder: BatchFolder, rows: int, column: str | None
) -> Iterator[BatchFile]:
    """Yield each file as soon as it is finished; it has `rows` rows or a batch more."""
    for first in batches:
        path, count = folder.new_file(), 0
        try:
            with pyarrow.parquet.ParquetWriter(
                path,
                first.schema,
                compression="zstd",
                use_dictionary=False,
                store_decimal_as_integer=True,
            ) as writer:
                for batch in itertools.chain([first], batches):
                    writer.write_batch(batch)
                    count += batch.num_rows
                    if count >= rows:
                        break
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        yield BatchFile(path, count, batch[column][-1].as_py() if column else None)

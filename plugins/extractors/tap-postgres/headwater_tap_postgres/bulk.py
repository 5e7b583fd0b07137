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

import adbc_driver_postgresql
import pyarrow as pa
import pyarrow.parquet
from adbc_driver_manager import AdbcConnection, AdbcStatement, Error

# As many rows as DuckDB keeps together: what comes in whole groups costs it half as much.
GROUP_ROWS = 122_880
# Of wide rows fewer are held at a time.
GROUP_BYTES = 64 << 20
# Enough that a file's own cost does not count, few enough that loading starts early.
ROWS_PER_FILE = 2 * GROUP_ROWS


class BulkConnection:
    """One connection for all streams, opened when the first one is read."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    @cached_property
    def _connection(self) -> AdbcConnection:
        connection = AdbcConnection(adbc_driver_postgresql.connect(self._dsn))
        connection.set_autocommit(False)
        return connection

    @contextmanager
    def transaction(self, settings: Iterable[str]) -> Iterator["Transaction"]:
        """A transaction that the statements in `settings` begin and that leaves no trace."""
        try:
            with AdbcStatement(self._connection) as statement:
                transaction = Transaction(statement)
                for setting in settings:
                    transaction.execute(setting).close()
                yield transaction
        finally:
            with suppress(Error):  # of a connection that is lost
                self._connection.rollback()


class Transaction:
    def __init__(self, statement: AdbcStatement) -> None:
        self._statement = statement

    def execute(self, query: str) -> pa.RecordBatchReader:
        """The rows, to be read before the next call."""
        self._statement.set_sql_query(query)
        handle, _ = self._statement.execute_query()
        return pa.RecordBatchReader.from_stream(handle)

    def value(self, query: str) -> str:
        """The only value of the only row."""
        return self.execute(query).read_all().column(0)[0].as_py()

    def batches(self, query: str) -> Iterator[pa.RecordBatch]:
        """The rows. While one batch is used, a thread waits for the next one."""
        with ThreadPoolExecutor(1) as pool:
            try:
                reader = pool.submit(self.execute, query).result()
                following = pool.submit(next, reader, None)
                while (batch := following.result()) is not None:
                    following = pool.submit(next, reader, None)
                    if batch.num_rows:
                        yield batch
            except BaseException:
                with suppress(Error):
                    self._statement.cancel()  # so that the thread ends
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
    """Yield each file as soon as it is finished: when it has at least `rows` rows, or all."""
    groups = _row_groups(batches)
    for first in groups:
        path, count = folder.new_file(), 0
        try:
            with pyarrow.parquet.ParquetWriter(
                path,
                first.schema,
                compression="zstd",
                use_dictionary=False,
                store_decimal_as_integer=True,
            ) as writer:
                for group in itertools.chain([first], groups):
                    writer.write_table(group, row_group_size=group.num_rows)
                    count += group.num_rows
                    if count >= rows:
                        break
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        yield BatchFile(path, count, group[column][-1].as_py() if column else None)


def _row_groups(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        while batch.num_rows:
            head = batch.slice(0, GROUP_ROWS - sum(map(len, waiting)))
            batch = batch.slice(len(head))
            waiting.append(head)
            if (
                sum(map(len, waiting)) == GROUP_ROWS
                or sum(b.nbytes for b in waiting) >= GROUP_BYTES
            ):
                yield pa.Table.from_batches(waiting)
                waiting = []
    if waiting:
        yield pa.Table.from_batches(waiting)

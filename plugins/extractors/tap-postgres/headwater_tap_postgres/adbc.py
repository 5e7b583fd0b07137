"""Postgres read as Arrow, by its binary COPY."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import adbc_driver_postgresql
import pyarrow as pa
from adbc_driver_manager import AdbcConnection, AdbcStatement, Error
from adbc_driver_postgresql import StatementOptions

# Arrow's own allocator keeps what it once had; the system's gives it back.
pa.set_memory_pool(pa.system_memory_pool())
# Bytes that are read at a time, about: more is no faster.
BATCH_BYTES = 4 << 20


class ArrowConnection:
    """One connection for all streams."""

    def __init__(self, dsn: str) -> None:
        self._database = adbc_driver_postgresql.connect(dsn)
        self._connection = AdbcConnection(self._database)
        self._connection.set_autocommit(False)

    def close(self) -> None:
        self._connection.close()
        self._database.close()

    @contextmanager
    def transaction(self, settings: Iterable[str]) -> Iterator["Transaction"]:
        """A transaction that the statements in `settings` begin and that leaves no trace."""
        try:
            with AdbcStatement(self._connection) as statement:
                size = {StatementOptions.BATCH_SIZE_HINT_BYTES.value: str(BATCH_BYTES)}
                statement.set_options(**size)
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

    @contextmanager
    def batches(self, query: str) -> Iterator[Iterator[pa.RecordBatch]]:
        """The rows. While one batch is used, a thread waits for the next one."""
        with ThreadPoolExecutor(1) as pool:
            try:
                yield self._ahead(pool, query)
            except BaseException:
                with suppress(Error):
                    self._statement.cancel()  # so that the thread ends
                raise

    def _ahead(self, pool: ThreadPoolExecutor, query: str) -> Iterator[pa.RecordBatch]:
        reader = pool.submit(self.execute, query).result()
        following = pool.submit(next, reader, None)
        while (batch := following.result()) is not None:
            following = pool.submit(next, reader, None)
            if batch.num_rows:
                yield batch

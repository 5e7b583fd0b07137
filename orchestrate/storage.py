"""Dagster's SQLite storage, on a laptop, whose files of events stay open.

A night has more than a thousand events. For each, Dagster opens a file or two, finds out what they
are, writes and closes them; with the last connection to it closed, SQLite brings the file up to
date and waits for the disk. What is written outlives a killed process; a power cut may cost the
newest events.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage, _event_logs_directory
from dagster._serdes import ConfigurableClassData


@lru_cache(maxsize=8)  # there is a file for each run
def _engine(url: str) -> sa.Engine:
    engine = sa.create_engine(url, connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS})
    sa.event.listen(engine, "connect", lambda c, _: c.execute("pragma synchronous = normal"))
    return engine


class OpenEventLog(SqliteEventLogStorage):
    @contextmanager
    def _connect(self, shard: str) -> Iterator[sa.Connection]:
        with self._db_lock:
            engine = _engine(self.conn_string_for_shard(shard))
            if shard not in self._initialized_dbs:
                self._initdb(engine)
                self._initialized_dbs.add(shard)
            with engine.begin() as connection:
                yield connection

    def has_table(self, table_name: str) -> bool:
        engine = _engine(self.conn_string_for_shard(INDEX_SHARD_NAME))
        return sa.inspect(engine).has_table(table_name)


class OpenSqliteStorage(DagsterSqliteStorage):
    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None):
        super().__init__(base_dir, inst_data)
        self._event_log_storage = OpenEventLog(_event_logs_directory(base_dir))

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData, config_value: dict[str, Any]
    ) -> "OpenSqliteStorage":
        return cls.from_local(inst_data=inst_data, **config_value)

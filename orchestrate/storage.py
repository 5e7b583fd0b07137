"""Dagster's SQLite storage, on a laptop, without a wait for the disk at every event.

A night has more than a thousand events. For each, Dagster opens a file or two, writes and closes
them; with the last connection to it closed, SQLite brings the file up to date and waits for the
disk. So here another connection is kept open. What is written outlives a killed process; a power
cut may cost the newest events.
"""

import os
import sqlite3
from functools import lru_cache
from pathlib import Path

import sqlalchemy as sa
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage

__all__ = ["DagsterSqliteStorage"]  # which dagster.yaml names

FOLDER = Path(os.environ["HEADWATER_DAGSTER_DIR"])


@lru_cache(maxsize=8)  # there is a file for each run
def _kept_open(path: str) -> sqlite3.Connection:
    return sqlite3.connect(path, check_same_thread=False)


@sa.event.listens_for(sa.Engine, "connect")
def _keep_open(connection: sqlite3.Connection, _: object) -> None:
    if not isinstance(connection, sqlite3.Connection):
        return
    ((_, _, path),) = connection.execute("pragma database_list").fetchall()
    if Path(path).is_relative_to(FOLDER):
        connection.execute("pragma synchronous = normal")
        # It counts as open once it has read.
        _kept_open(path).execute("select 1 from sqlite_master").fetchall()

"""The warehouse as reports read it: `marts` and `reporting`, by one SQL on DuckDB and BigQuery."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb
import pyarrow as pa
from headwater_reconcile.publish import published_path
from headwater_reconcile.warehouse import bigquery, is_bigquery
from headwater_target_warehouse.errors import LoadError

READABLE = ("marts", "reporting")
_RELATION = re.compile(rf"\b((?:{'|'.join(READABLE)})\.(\w+))")
_MISSING = re.compile(r"Table with name (\w+) does not exist|Not found: Table [\w:-]+\.(\w+)")


class MissingRelation(Exception):
    """The warehouse lacks a relation, whose name this is: dbt has not built it."""


class Reader:
    """Answers queries that name relations as `reporting.total_sales`.

    `reads`: the relations that they have named so far; `missing`: the names of those not there.
    """

    def __init__(self, run: Callable[[str], pa.Table], prefix: str = "") -> None:
        """`run` executes SQL; `prefix` stands before every dataset's name there."""
        self.reads: set[str] = set()
        self.missing: set[str] = set()
        self._run, self._prefix = run, prefix
        self._views: dict[str, pa.Table] = {}

    def query(self, sql: str) -> pa.Table:
        """The result; numerics are decimals, timestamps UTC.

        Raises:
            MissingRelation: a relation is not there.
            LoadError: the warehouse cannot answer.
        """
        self.reads |= {relation for relation, _ in _RELATION.findall(sql)}
        try:
            return self._run(_RELATION.sub(rf"{self._prefix}\1", sql))
        except (duckdb.Error, LoadError) as error:
            if found := _MISSING.search(str(error)):
                name = found[1] or found[2]
                self.missing.add(name)
                raise MissingRelation(name) from None
            raise LoadError(str(error).splitlines()[0]) from None

    def view(self, name: str) -> pa.Table | None:
        """All rows of a reporting view, asked for once; None where it has not been built."""
        with suppress(MissingRelation):
            if name not in self._views:
                self._views[name] = self.query(f"select * from reporting.{name}")
        return self._views.get(name)


@contextmanager
def open_warehouse() -> Iterator[Reader]:
    """The environment's warehouse; of DuckDB's file the copy that is free to read.

    Raises:
        LoadError: it is not there, or cannot be reached.
    """
    if is_bigquery():
        with bigquery(on_wait=print) as warehouse:
            yield Reader(warehouse.query, warehouse.prefix)
        return
    path = published_path(Path(os.environ.get("DUCKDB_PATH", "output/headwater.duckdb")))
    if not path.exists():
        raise LoadError(
            f"there is no {path} to read: load, and run `meltano invoke reconcile publish`"
        )
    # What does not fit goes to disk, as for dbt.
    limit = {"memory_limit": os.environ.get("DUCKDB_MEMORY_LIMIT", "2GB")}
    with duckdb.connect(str(path), read_only=True, config=limit) as connection:
        yield Reader(lambda sql: connection.execute(sql).to_arrow_table())

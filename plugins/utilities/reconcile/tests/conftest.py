import io
import json
import subprocess
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import duckdb
import psycopg
import pytest
from click.testing import CliRunner, Result
from headwater_reconcile.cli import main
from headwater_sandbox.postgres import Server
from headwater_target_warehouse.duckdb import TargetDuckDB

TYPES = {
    "bigint": {"type": "integer"},
    "text": {"type": "string"},
    "timestamptz": {"type": "string", "format": "date-time"},
    "timestamp": {"type": "string", "format": "date-time"},
    "date": {"type": "string", "format": "date"},
    "numeric(12,4)": {"type": "number", "x-sql-datatype": "numeric(12,4)"},
    "char(4)": {"type": "string"},
    "uuid": {"type": "string"},
    "bytea": {"type": "string", "contentEncoding": "base64"},
    "boolean": {"type": "boolean"},
}


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    with Server(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture
def source(server):
    """A connection, and a schema `shop` that is the test's own."""
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute("drop schema if exists shop cascade; create schema shop")
        yield connection
        connection.execute("drop schema shop cascade")


@dataclass
class Pipeline:
    """A small tap on the real server, the real loader, and the real command."""

    server: Server
    source: psycopg.Connection
    folder: Path
    keys: dict[str, list[str]]
    state: dict
    environment: dict[str, str]

    @property
    def path(self) -> Path:
        return self.folder / "headwater.duckdb"

    @property
    def state_file(self) -> Path:
        return self.folder / "state.json"

    def create(self, table, columns, keys, replication_key="updated_at") -> None:
        """Make a table shop.<table>; `columns`: name to type."""
        definitions = ", ".join(f'"{name}" {type_}' for name, type_ in columns.items())
        self.source.execute(f"create table shop.{table} ({definitions})")
        self.keys[table] = (columns, keys, replication_key)

    def load(self, *tables, since=None, where="true") -> None:
        """Read tables in one snapshot each, load them, keep the state; `since`: as an overlap."""
        lines = []
        with psycopg.connect(self.server.dsn) as tap:
            tap.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            for table in tables or self.keys:
                columns, keys, replication_key = self.keys[table]
                stream = f"shop-{table}"
                (snapshot,) = tap.execute("select pg_current_snapshot()::text").fetchone()
                condition = f"{replication_key} >= '{since}'" if since else "true"
                rows = tap.execute(
                    f"select to_jsonb(t) from (select * from shop.{table} "
                    f"where {condition} and {where}) t"
                ).fetchall()
                properties = {name: TYPES[type_.split(" ")[0]] for name, type_ in columns.items()}
                lines.append(
                    {
                        "type": "SCHEMA",
                        "stream": stream,
                        "schema": {"type": "object", "properties": properties},
                        "key_properties": keys,
                        **({"bookmark_properties": [replication_key]} if replication_key else {}),
                    }
                )
                lines += [{"type": "RECORD", "stream": stream, "record": row} for (row,) in rows]
                bookmark = {"snapshot": snapshot}
                if replication_key:
                    (value,) = tap.execute(
                        f"select to_jsonb(max({replication_key})) from shop.{table}"
                    ).fetchone()
                    if value is not None:
                        bookmark |= {
                            "replication_key": replication_key,
                            "replication_key_value": value,
                        }
                self.state[stream] = bookmark
                tap.rollback()
        self.send(lines)

    def send(self, messages: list[dict]) -> None:
        lines = "".join(json.dumps(line) + "\n" for line in messages)
        with redirect_stdout(io.StringIO()):
            TargetDuckDB(config={"path": str(self.path)}).listen(io.StringIO(lines))
        self.state_file.write_text(json.dumps({"singer_state": {"bookmarks": self.state}}))

    def run(self, *arguments: str, **environment: str) -> Result:
        state = ["--state", str(self.state_file)] if arguments[0] == "check" else []
        return CliRunner().invoke(
            main, [*arguments, *state], env=self.environment | environment, prog_name="reconcile"
        )

    def check(self, **environment: str) -> Result:
        return self.run("check", **environment)

    def sql(self, statement: str) -> list[tuple]:
        with duckdb.connect(str(self.path)) as connection:
            return connection.execute(statement).fetchall()

    def found(self, table: str) -> dict[str, int]:
        """The newest counts of a stream."""
        names = ("source_rows", "warehouse_rows", "deleted", "later", "lost")
        (row,) = self.sql(
            f"select {', '.join(names)} from _headwater.reconciliations "
            f"where stream = 'shop-{table}' order by reconciled_at desc limit 1"
        )
        return dict(zip(("source", "warehouse", "deleted", "later", "lost"), row, strict=True))


@pytest.fixture
def pipeline(server, source, tmp_path):
    environment = {
        "POSTGRES_HOST": server.host,
        "POSTGRES_PORT": str(server.port),
        "POSTGRES_USER": server.user,
        "POSTGRES_PASSWORD": server.password,
        "POSTGRES_DB": server.database,
        "DUCKDB_PATH": str(tmp_path / "headwater.duckdb"),
        "DBT_TARGET_PATH": str(tmp_path / "dbt"),
        "RECONCILE_MODES": "{}",
        "MELTANO_RUN_ID": "",
    }
    return Pipeline(server, source, tmp_path, {}, {}, environment)


@pytest.fixture
def in_background():
    """Run Python source with arguments in a process of its own; ended with the test."""
    processes = []

    def start(code: str, *arguments: object) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()

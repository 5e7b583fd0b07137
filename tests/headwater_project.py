"""A copy of the project with a sandbox of its own, run as a person runs it."""

import datetime as dt
import functools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import psutil
import psycopg
from headwater_sandbox.postgres import Server
from headwater_sandbox.shopify import data, store
from headwater_sandbox.shopify.server import StandIn
from psycopg import sql

ROOT = Path(__file__).parents[1]
FILES = (
    *("meltano.yml", "extract", "load", "transform", "analyze", "orchestrate", "plugins"),
    "Makefile",
)
# What the user may have set, and the tests must not see.
FOREIGN = (
    *("POSTGRES", "PG", "DUCKDB", "BIGQUERY", "GCP", "GOOGLE", "DBT", "MELTANO", "TAP_", "TARGET_"),
    *("RECONCILE", "SANDBOX", "SHOPIFY", "DAGSTER", "REPORTS", "HEADWATER", "MAKE", "MFLAGS"),
)
# What dbt leaves out where a test looks at rows alone: most of its time.
WITHOUT_CHECKS = {"DBT_EXCLUDE_RESOURCE_TYPES": "test unit_test"}
COUNTS = ("source", "warehouse", "inserted", "updated", "deleted", "later", "lost")
# By far more than anything takes; only what hangs reaches it.
DEADLINE = 900


@dataclass(frozen=True)
class Done:
    """What a finished command said; `out` and `err` apart, `text` both."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err

    @property
    def table(self) -> dict[str, dict[str, int]]:
        """The counts by stream of the reconcile table that ends a run."""
        _, _, summary = self.out.partition("Source against warehouse")
        rows = (line.split() for line in summary.replace(",", "").splitlines())
        return {
            name: dict(zip(COUNTS, map(int, counts[:-1]), strict=True))
            for name, *counts in (line for line in rows if line)
            if len(counts) == len(COUNTS) + 1 and all(map(str.isdecimal, counts[:-1]))
        }


class Project:
    """The project's files in `root`, with an `output/` and a Postgres port of their own.

    The virtual environment is the one the tests run in.
    """

    def __init__(self, root: Path, scale: float = 0.02, checks: bool = True):
        self.root = root
        self.output = root / "output"
        self.warehouse = self.output / "headwater.duckdb"
        root.mkdir(parents=True)
        for name in FILES:
            if (ROOT / name).is_file():
                shutil.copy2(ROOT / name, root / name)
            else:
                shutil.copytree(
                    ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__")
                )
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        # In .env, so that the sandbox takes another one if somebody else has this one by then.
        (root / ".env").write_text(f"POSTGRES_PORT={port}\nSCALE={scale}\n")
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(FOREIGN) and name != "SCALE"
        }
        if not checks:
            self.environment |= WITHOUT_CHECKS
        self.environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.server = Server(self.output / "sandbox")
        self.shop = StandIn(self.output / "sandbox/shopify", port=None)

    def start(self, *command: str, **environment: str) -> subprocess.Popen:
        """Start a command in the project, in a process group of its own."""
        # Files, not pipes: what outlives the command may keep them open.
        out, err = (self.output.with_name(f"said-{uuid.uuid4()}").open("w+") for _ in range(2))
        process = subprocess.Popen(
            command,
            cwd=self.root,
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
        process.said = out, err
        return process

    def run(self, *command: str, **environment: str) -> Done:
        return self.end(self.start(*command, **environment))

    def end(self, process: subprocess.Popen) -> Done:
        """Wait for a started command to end."""
        hangs = False
        try:
            process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            hangs = True
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        said = []
        for file in process.said:
            with file:
                file.seek(0)
                said.append(file.read())
        assert not hangs, "\n".join((str(process.args), *said))
        return Done(process.returncode, *said)

    def make(self, target: str, **environment: str) -> Done:
        """Run a target of the Makefile; .venv/.synced counts as made."""
        return self.run("make", "--assume-old=.venv/.synced", target, **environment)

    def meltano(self, *arguments: str, **environment: str) -> Done:
        return self.run("meltano", *arguments, **environment)

    def open_shop(self, scale: float = 0.02) -> None:
        """Start the sandbox's shop, without its Postgres, and fill it."""
        with store.connect(self.shop.store) as connection:
            data.seed(connection, scale)
        self.shop.start()

    def nightly(self, **environment: str) -> Done:
        """What `make run` does once the sandbox is up."""
        return self.run("python", "orchestrate/run.py", "nightly", **environment)

    def tick(self) -> dict[str, dict[str, int]]:
        """Let a day pass; what it says it did, by stream."""
        done = self.make("tick")
        assert done.code == 0, done.text
        rows = re.findall(r"^(\w+)\.(\w+) +([\d,]+) +([\d,]+) +([\d,]+)$", done.out, re.MULTILINE)
        return {
            table if schema == "shopify" else f"{schema}-{table}": {
                what: int(number.replace(",", ""))
                for what, number in zip(("inserted", "updated", "deleted"), numbers, strict=True)
            }
            for schema, table, *numbers in rows
        }

    def state(self) -> dict[str, bytes]:
        """The files of Meltano's state, by path."""
        folder = self.output / "state"
        return {
            str(path.relative_to(folder)): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file()
        }

    def bookmarks(self, tap: str = "tap-postgres") -> dict[str, dict]:
        (text,) = (text for path, text in self.state().items() if tap in path)
        return json.loads(text)["completed"]["singer_state"]["bookmarks"]

    def processes(self, *words: str) -> list[psutil.Process]:
        """Live processes that work in this project, those with all the words in their command."""
        found = []
        for process in psutil.process_iter():
            try:
                command = " ".join(process.cmdline())
                if (
                    process.status() != psutil.STATUS_ZOMBIE
                    and process.cwd().startswith(str(self.root))
                    and all(word in command for word in words)
                ):
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def server_waits(self) -> bool:
        """Whether some query of the sandbox waits for a lock."""
        with psycopg.connect(self.server.dsn) as connection:
            (waiting,) = connection.execute(
                "select exists (select from pg_locks where not granted)"
            ).fetchone()
        return waiting

    def close(self) -> None:
        """Stop the servers, and end what a test has left."""
        self.server.stop()
        self.shop.stop()
        for process in self.processes():
            process.kill()


def until(condition: Callable[[], object], what: str) -> object:
    """Poll until the condition holds; returns what it gave."""
    deadline = time.monotonic() + DEADLINE
    while not (found := condition()):
        assert time.monotonic() < deadline, f"never seen: {what}"
        time.sleep(0.005)
    return found


def kill(processes: list[psutil.Process]) -> None:
    """kill -9, at once."""
    assert processes
    for process in processes:
        process.kill()


def why(done: Done) -> str:
    """The one line at the end of a failed run."""
    assert done.code != 0
    assert "Traceback" not in done.text
    before, said, after = done.err.partition("  The run did not end well.\n")
    assert said, done.text
    lines = [line for line in after.splitlines() if not line.startswith("make: ***")]
    assert len(lines) == 1, lines
    return lines[0].strip()


@contextmanager
def stuck(project: Project, *reader: str) -> Iterator[psycopg.Connection]:
    """A run whose process `reader` has come as far as rainbow.orders, and no further."""
    with psycopg.connect(project.server.dsn) as connection:
        until(lambda: project.processes(*reader), " ".join(reader))
        connection.execute("lock table rainbow.orders")
        until(project.server_waits, f"{reader[0]} reading rainbow.orders")
        yield connection


def project_in(directory: Path, **options: float) -> Iterator[Project]:
    """The body of a fixture: a project that is closed in the end."""
    project = Project(directory / "headwater", **options)
    try:
        yield project
    finally:
        project.close()


# What is in a table, at either side, in terms that can be compared.

LANDED = [
    (r".*\[\]|jsonb?", "JSON"),
    (r"smallint|integer|bigint", "BIGINT"),
    (r"numeric\((\d+,\d+)\)", r"DECIMAL(\1)"),
    (r"numeric", "DECIMAL(38,9)"),
    (r"real|double precision", "DOUBLE"),
    (r"boolean", "BOOLEAN"),
    (r"date", "DATE"),
    (r"time without time zone", "TIME"),
    (r"timestamp(\(\d\))? with(out)? time zone", "TIMESTAMP"),
    (r"bytea", "BLOB"),
]
COLUMNS = """
    select a.attname, format_type(coalesce(nullif(t.typbasetype, 0), t.oid),
        case when t.typbasetype = 0 then a.atttypmod else t.typtypmod end),
        coalesce(a.attnum = any(i.indkey), false)
    from pg_attribute a
    join pg_type t on t.oid = a.atttypid
    left join pg_index i on i.indrelid = a.attrelid and i.indisprimary
    where a.attrelid = %s::regclass and a.attnum > 0 and not a.attisdropped
    order by a.attnum
"""
RELATIONS = """
    select nspname, relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where nspname = any(%s) and relkind in ('r', 'p', 'v', 'm') and not relispartition order by 1, 2
"""


@dataclass(frozen=True)
class Table:
    """Rows as tuples that compare by exact value. `rows`: live ones, with how often each is there;
    `deleted`: those the warehouse has marked."""

    columns: dict[str, str]  # name in the warehouse: type in the warehouse
    keys: tuple[str, ...]
    rows: Counter
    deleted: Counter

    def gone(self, later: "Table") -> Counter:
        """The rows whose key `later` has no more."""
        here = [list(self.columns).index(key) for key in self.keys]
        left = {tuple(row[i] for i in here) for row in later.rows}
        return Counter(row for row in self.rows if tuple(row[i] for i in here) not in left)


def landed(datatype: str) -> str:
    """The DuckDB type that a Postgres type is to land as."""
    found = (re.fullmatch(pattern, datatype) and (pattern, to) for pattern, to in LANDED)
    pattern, to = next(filter(None, found), (".*", "VARCHAR"))
    return re.sub(f"^(?:{pattern})$", to, datatype, count=1)


def source_tables(dsn: str, *schemas: str) -> dict[str, Table]:
    """All tables and views, by stream."""
    with psycopg.connect(dsn, options="-c timezone=UTC") as connection:
        psycopg.types.json.set_json_loads(
            functools.partial(json.loads, parse_float=Decimal), connection
        )
        relations = connection.execute(RELATIONS, [list(schemas)]).fetchall()
        return {
            f"{schema}-{name}": _source_table(connection, schema, name)
            for schema, name in relations
        }


def _source_table(connection: psycopg.Connection, schema: str, name: str) -> Table:
    relation = sql.Identifier(schema, name)
    columns = connection.execute(COLUMNS, [relation.as_string(connection)]).fetchall()
    selected = [
        sql.SQL("{}::text").format(sql.Identifier(column))
        if landed(datatype) == "VARCHAR" and not datatype.startswith("char")
        else sql.Identifier(column)
        for column, datatype, _ in columns
    ]
    rows = connection.execute(
        sql.SQL("select {} from {}").format(sql.SQL(", ").join(selected), relation)
    )
    named = [re.sub(r"\W", "_", column, flags=re.ASCII) for column, *_ in columns]
    return Table(
        {name: landed(datatype) for name, (_, datatype, _) in zip(named, columns, strict=True)},
        tuple(name for name, (*_, is_key) in zip(named, columns, strict=True) if is_key),
        Counter(tuple(map(exact, row)) for row in rows),
        Counter(),
    )


def warehouse_tables(path: Path) -> dict[str, Table]:
    """What the raw layer has of Postgres, by stream, as it is in the file."""
    with duckdb.connect(str(path), read_only=True) as connection:
        streams = connection.execute(
            "select stream, table_schema, table_name, key_properties from _headwater.streams "
            "where table_schema <> 'raw_shopify'"
        ).fetchall()
        return {
            stream: _warehouse_table(connection, f'"{schema}"."{name}"', json.loads(keys))
            for stream, schema, name, keys in streams
        }


def _warehouse_table(connection, relation: str, keys: list[str]) -> Table:
    described = connection.execute(f"describe {relation}").fetchall()
    columns = {name: type_ for name, type_, *_ in described if not name.startswith("_sdc_")}
    selected = ", ".join(f'"{name}"' for name in columns)
    rows: dict[bool, Counter] = {False: Counter(), True: Counter()}
    for row in connection.execute(
        f"select _sdc_deleted_at is not null, {selected} from {relation}"
    ).fetchall():
        values = (
            json.loads(value, parse_float=Decimal) if type_ == "JSON" and value else value
            for value, type_ in zip(row[1:], columns.values(), strict=True)
        )
        rows[row[0]][tuple(map(exact, values))] += 1
    keys = tuple(re.sub(r"\W", "_", key, flags=re.ASCII) for key in keys)
    return Table(columns, keys, rows[False], rows[True])


def exact(value: Any) -> Any:
    """The value, hashable, equal to another one only if they are the same to the last digit."""
    match value:
        case bool():
            return "true" if value else "false", bool
        case int() | Decimal():
            return Decimal(value)
        case float():
            return Decimal(repr(value)) if value == value else "NaN"
        case dt.datetime(tzinfo=dt.tzinfo()):
            return value.astimezone(dt.UTC).replace(tzinfo=None)
        case list():
            return tuple(exact(item) for item in value), list
        case dict():
            return frozenset((key, exact(item)) for key, item in value.items())
        case memoryview() | bytearray():
            return bytes(value)
        case _:
            return value


def differences(
    source: dict[str, Table],
    warehouse: dict[str, Table],
    deleted: dict[str, Counter] | None = None,
) -> dict[str, Any]:
    """What the warehouse has otherwise than the source, by stream; empty if nothing.

    `deleted`: the rows that are to be marked, as they were; none where nothing is given.
    """
    found: dict[str, Any] = {}
    if source.keys() != warehouse.keys():
        found["streams"] = source.keys() ^ warehouse.keys()
    for stream in source.keys() & warehouse.keys():
        ours, theirs = warehouse[stream], source[stream]
        gone = (deleted or {}).get(stream, Counter())
        checks = {
            "columns": set(theirs.columns.items()) ^ set(ours.columns.items()),
            "keys": set(theirs.keys) ^ set(ours.keys),
            "missing": theirs.rows - ours.rows,
            "beyond": ours.rows - theirs.rows,
            "not marked": gone - ours.deleted,
            "marked": ours.deleted - gone,
        }
        if wrong := {what: list(rows)[:3] for what, rows in checks.items() if rows}:
            found[stream] = wrong
    return found

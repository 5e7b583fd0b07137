"""A Postgres server with a schema of every type, and the tap run on it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import duckdb
import psycopg2
import pytest
from click.testing import CliRunner
from headwater_sandbox.postgres import Server
from headwater_tap_postgres.tap import TapPostgres
from headwater_target_warehouse.duckdb import TargetDuckDB
from singer_sdk.contrib.msgspec import MsgSpecWriter

EXECUTABLE = Path(sys.executable).with_name("headwater-tap-postgres")


class Recorder(MsgSpecWriter):
    """Keeps the lines that the tap would write."""

    def __init__(self):
        self.lines: list[str] = []

    def write_message(self, message):
        self.lines.append(bytes(self.format_message(message)).decode().rstrip("\n"))

    def of(self, kind: str, stream: str | None = None) -> list[dict]:
        messages = [json.loads(line) for line in self.lines]
        return [
            message
            for message in messages
            if message["type"] == kind and stream in (None, message.get("stream"))
        ]

    def records(self, stream: str) -> list[str]:
        """The text of each record of a stream, as written."""
        head = f'{{"type":"RECORD","stream":"{stream}","record":'
        return [
            re.sub(r'(,"version":\d+)?,"time_extracted":"[^"]+"\}$', "", line.removeprefix(head))
            for line in self.lines
            if line.startswith(head)
        ]

    @property
    def state(self) -> dict:
        """The bookmarks of the last STATE."""
        return self.of("STATE")[-1]["value"]["bookmarks"]

    @property
    def kinds(self) -> list[str]:
        return [json.loads(line)["type"] for line in self.lines]


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    with Server(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture
def begin(server):
    """Open a connection, in a transaction from its first statement on."""
    connections = []

    def begin():
        connections.append(psycopg2.connect(server.dsn))
        return connections[-1]

    yield begin
    for connection in connections:
        connection.close()


@pytest.fixture(scope="session")
def execute(server):
    """Run SQL, commit, and return the rows if there are any."""
    connection = psycopg2.connect(server.dsn)
    connection.autocommit = True

    def execute(sql, *parameters):
        with connection.cursor() as cursor:
            cursor.execute(sql, parameters or None)
            return cursor.fetchall() if cursor.description else None

    execute("set lock_timeout = '10s'")  # fail, not wait, if a test left a transaction open
    yield execute
    connection.close()


@pytest.fixture(scope="session")
def every_type(execute):
    """The schema `kinds`, which is only read."""
    execute((Path(__file__).parent / "every_type.sql").read_text())


@pytest.fixture
def shop(execute):
    """An empty schema `shop`."""
    execute("drop schema if exists shop cascade; create schema shop")


@pytest.fixture(scope="session")
def settings(server):
    """Return the tap's settings for the server, with changes."""

    def settings(**changes):
        return {
            "host": server.host,
            "port": server.port,
            "user": server.user,
            "password": server.password,
            "database": server.database,
            "filter_schemas": ["kinds", "shop"],
        } | changes

    return settings


@pytest.fixture(scope="session")
def discover(settings):
    """Return the catalog with all columns of the named streams selected; `options`, such as
    `replication_key`, are set in each, as Meltano does."""

    def discover(*streams, tap=TapPostgres, config=None, **options):
        discovering = tap(config=settings(**config or {}))
        catalog = json.loads(json.dumps(discovering.catalog_dict))
        discovering.connector._engine.dispose()
        for stream in catalog["streams"]:
            root = next(item for item in stream["metadata"] if not item["breadcrumb"])
            root["metadata"]["selected"] = stream["tap_stream_id"] in streams
            if root["metadata"]["selected"]:
                stream |= options
        return catalog

    return discover


@pytest.fixture(scope="session")
def sync(settings):
    """Run the tap in this process and return the Recorder, also by `error.recorder` if it fails."""

    def sync(catalog, bookmarks=None, **config):
        recorder = Recorder()
        tap = TapPostgres(
            config=settings(**config),
            catalog=json.loads(json.dumps(catalog)),
            state={"bookmarks": bookmarks} if bookmarks else None,
            message_writer=recorder,
        )
        try:
            tap.sync_all()
        except Exception as error:
            error.recorder = recorder
            raise
        return recorder

    return sync


@pytest.fixture
def in_bulk(tmp_path):
    """The setting by which rows travel in columns."""
    root = (tmp_path / "batches").as_uri()
    return {"batch_config": {"encoding": {"format": "parquet"}, "storage": {"root": root}}}


class Warehouse:
    """A DuckDB file, and the loader on it."""

    def __init__(self, path, batch_folder):
        self.path = path
        self.settings = {
            "TARGET_DUCKDB_PATH": str(path),
            "TARGET_DUCKDB_BATCH_FOLDER": str(batch_folder),
        }

    def load(self, recorder):
        """Load what a Recorder has; returns the bookmarks that the loader hands on."""
        done = CliRunner().invoke(
            TargetDuckDB.get_singer_command(),
            ["--config=ENV"],
            input="\n".join(recorder.lines) + "\n",
            env=self.settings,
        )
        assert done.exit_code == 0, done.exception or done.stderr
        return json.loads(done.stdout.splitlines()[-1])["bookmarks"]

    def query(self, sql):
        with duckdb.connect(str(self.path)) as connection:
            return connection.execute(sql).fetchall()

    def rows(self, table):
        """The live rows of a raw table, in order, and the types of its columns."""
        kinds = self.query(f"describe {table}")
        columns = {name: kind for name, kind, *_ in kinds if not name.startswith("_sdc_")}
        # As text, in which NaN equals NaN.
        selected = ", ".join(f'"{name}"::varchar' for name in columns)
        return columns, self.query(
            f"select {selected} from {table} where _sdc_deleted_at is null order by all"
        )

    def counts(self):
        """Of the last load: rows received, inserted, updated, unchanged, deleted."""
        return self.query(
            "select rows_received, rows_inserted, rows_updated, rows_unchanged, rows_deleted "
            "from _headwater.loads order by loaded_at"
        )[-1]


@pytest.fixture
def warehouse(tmp_path):
    """Return a warehouse by name."""
    return lambda name="a": Warehouse(tmp_path / f"{name}.duckdb", tmp_path / "batches")


@pytest.fixture
def start(tmp_path, settings):
    """Start the executable and return the process."""

    def start(*arguments, catalog=None, environment=None, **config):
        changed = {name: value for name, value in settings(**config).items() if value is not None}
        (tmp_path / "config.json").write_text(json.dumps(changed))
        command = [EXECUTABLE, "--config", tmp_path / "config.json", *arguments]
        if catalog:
            (tmp_path / "catalog.json").write_text(json.dumps(catalog))
            command += ["--catalog", tmp_path / "catalog.json"]
        return subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | (environment or {}),
        )

    return start


@pytest.fixture
def run(start):
    """Run the executable and return the completed process."""

    def run(*arguments, **options):
        process = start(*arguments, **options)
        stdout, stderr = process.communicate()
        return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)

    return run

"""Singer messages by hand, and the loader to feed them to."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
from click.testing import CliRunner, Result
from headwater_target_warehouse.duckdb import TargetDuckDB

TARGET = Path(sys.executable).with_name("target-duckdb")


def message(kind: str, stream: str | None = None, **rest: Any) -> str:
    return json.dumps({"type": kind} | ({"stream": stream} if stream else {}) | rest)


def schema(stream: str, keys: list[str], replication_key: str | None = None, **properties: Any):
    """A SCHEMA message; a property given as text is a type that may be null."""
    definitions = {
        name: {"type": [p, "null"]} if isinstance(p, str) else p for name, p in properties.items()
    }
    return message(
        "SCHEMA",
        stream,
        schema={"properties": definitions},
        key_properties=keys,
        bookmark_properties=[replication_key] if replication_key else [],
    )


def record(stream: str, version: int | None = None, **values: Any) -> str:
    return message(
        "RECORD",
        stream,
        record=values,
        time_extracted="2026-01-02T03:04:05.678900Z",
        **({"version": version} if version else {}),
    )


def state(value: Any) -> str:
    return message("STATE", value=value)


class Loader:
    """The loader's command, in this process or as the real executable, and the file it writes."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def environment(self, **settings: Any) -> dict[str, str]:
        given = {f"TARGET_DUCKDB_{name.upper()}": str(value) for name, value in settings.items()}
        return {"TARGET_DUCKDB_PATH": str(self.path)} | given

    def start(self, **settings: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [TARGET, "--config=ENV"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | self.environment(**settings),
        )

    def invoke(self, lines: tuple[str, ...], end: str, settings: dict[str, Any]) -> Result:
        return CliRunner().invoke(
            TargetDuckDB.get_singer_command(),
            ["--config=ENV"],
            input="\n".join(lines) + end,
            env=self.environment(**settings),
        )

    def run(self, *lines: str, end: str = "\n", **settings: Any) -> list[str]:
        """Load the messages; returns the STATE lines."""
        result = self.invoke(lines, end, settings)
        assert result.exit_code == 0, result.exception or result.stderr
        return result.stdout.splitlines()

    def fail(self, *lines: str, end: str = "\n", **settings: Any) -> str:
        """Load messages that must be refused; returns the one line that says why."""
        result = self.invoke(lines, end, settings)
        assert isinstance(result.exception, SystemExit), repr(result.exception)
        assert result.exit_code == 1
        assert result.stdout == "", "no STATE may leave a failed load"
        (line,) = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
        return line

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.path)) as connection:
            return connection.execute(sql).fetchall()

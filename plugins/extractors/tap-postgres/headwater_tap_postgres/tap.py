"""The tap: settings, refusals before anything is read, and errors in one line.

For Postgres 13 or newer.
"""

import json
import logging
import os
import re
import sys
from contextlib import suppress
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote, urlparse

import click
import sqlalchemy as sa
import tap_postgres.tap
from singer_sdk import typing as th
from singer_sdk.helpers._typing import append_type
from singer_sdk.singerlib import Schema
from tap_postgres.client import PostgresStream

from headwater_tap_postgres.batch_files import BatchFolder
from headwater_tap_postgres.bulk import BulkStream, LogBasedStream
from headwater_tap_postgres.client import Connector, ReadError, Stream

_SETTINGS = th.PropertiesList(
    th.Property(
        "overlap_seconds",
        th.IntegerType(minimum=0),
        default=3600,
        description=(
            "How long before its bookmark an incremental read starts, so that a row which was "
            "committed late is not lost. For replication keys that are dates or times."
        ),
    ),
    th.Property(
        "lock_timeout_seconds",
        th.IntegerType(minimum=0),
        default=600,
        description=(
            "How long a read waits for a table that another transaction has locked, such as one "
            "that alters it; 0 for ever."
        ),
    ),
    th.Property(
        "emit_activate_version_messages",
        th.BooleanType,
        default=True,
        description=(
            "Whether a FULL_TABLE stream sends ACTIVATE_VERSION: before its first row, and again "
            "after its last one."
        ),
    ),
).to_dict()


class Refusal(Exception):
    """What the tap was asked for cannot be done without loss; the message is one line."""


class TapPostgres(tap_postgres.tap.TapPostgres):
    """MeltanoLabs' tap, which also says each column's true type and loses no row silently."""

    package_name = "headwater-tap-postgres"
    default_stream_class = BulkStream
    config_jsonschema: ClassVar[dict] = {
        **tap_postgres.tap.TapPostgres.config_jsonschema,
        "properties": {
            **tap_postgres.tap.TapPostgres.config_jsonschema["properties"],
            **_SETTINGS["properties"],
        },
    }

    def _validate_config(self, *, raise_errors: bool = True) -> list[str]:
        """Raises Refusal, which names the settings that are missing."""
        required = ("host", "user", "password", "database")
        missing = [name for name in required if not self._config.get(name)]
        if missing and raise_errors and not self._config.get("sqlalchemy_url"):
            raise Refusal(f"set {', '.join(missing)} of {self.name} (or sqlalchemy_url)")
        return super()._validate_config(raise_errors=raise_errors)

    @cached_property
    def connector(self) -> Connector:
        return Connector(dict(self.config), super().connector.sqlalchemy_url)

    def discover_streams(self) -> list:
        return [
            BulkStream(self, stream.catalog_entry, connector=self.connector)
            if isinstance(stream, PostgresStream)
            else LogBasedStream(
                self,
                stream.catalog_entry,
                connection_parameters=self.connection_parameters,
                connector=self.connector,
            )
            for stream in super().discover_streams()
        ]

    @cached_property
    def folder(self) -> BatchFolder:
        """Where batch files are written."""
        storage = self.config["batch_config"]["storage"]
        path = unquote(urlparse(storage["root"]).path)
        return BatchFolder(Path(path).absolute(), storage.get("prefix") or "")

    @cached_property
    def input_catalog(self):
        """The catalog passed to the tap. Where it does not say the true type of any column of a
        stream (another tap made it), the database does."""
        for entry in (self._input_catalog or {}).values():
            properties = entry.schema.properties or {}
            if any(schema.x_sql_datatype for schema in properties.values()):
                continue
            schema_name = entry.metadata.root.schema_name
            columns = self.connector.columns(schema_name, entry.table).get(entry.table, {})
            for name in properties.keys() & columns.keys():
                schema = self.connector.to_jsonschema_type(self.connector.wire(columns[name]))
                properties[name] = Schema.from_dict(append_type(schema, "null"))
        return self._input_catalog

    def _set_compatible_replication_methods(self) -> None:
        """Called before anything is read or written. Raises Refusal."""
        super()._set_compatible_replication_methods()
        problems = [*self._unmatched_patterns(), *self._batch_problems()]
        for stream in self.streams.values():
            if isinstance(stream, Stream) and stream.selected:
                problems += stream.problems()
            elif stream.selected and any(
                schema.get("contentEncoding")
                for schema in stream.get_selected_schema()["properties"].values()
            ):
                problems.append(
                    f"{stream.name} has bytea columns, which LOG_BASED would read as text"
                )
        if problems:
            raise Refusal("; ".join(problems))

    def _batch_problems(self):
        """Yield what is wrong with `batch_config`."""
        batch_config = self.config.get("batch_config") or {}
        if batch_config.get("encoding", {}).get("format") == "parquet":
            root = batch_config.get("storage", {}).get("root") or ""
            if urlparse(root).scheme not in ("", "file") or not urlparse(root).path:
                yield f"batch_config.storage.root is {root!r}, and must be a folder: file:///path"

    def _unmatched_patterns(self):
        """Yield what is wrong with Meltano's `select`, which ignores a pattern without a match."""
        for pattern in json.loads(os.environ.get("TAP_POSTGRES__SELECT") or "[]"):
            if pattern.startswith("!"):
                continue
            stream_pattern, _, property_pattern = re.sub(
                r"(?<!\\)\.", "\0", pattern, count=1
            ).partition("\0")
            stream_pattern = stream_pattern.replace(r"\.", ".")
            if not any(
                fnmatch(stream.name, stream_pattern) and fnmatch(name, property_pattern or "*")
                for stream in self.streams.values()
                for name in stream.schema["properties"]
            ):
                yield f"the select pattern {pattern} matches no column of any table"

    def sync_all(self) -> None:
        try:
            super().sync_all()
        finally:
            self.connector.close()

    def _handle_termination(self, signum, frame) -> None:
        """Write the state, then fail: rows are missing."""
        with suppress(SystemExit):
            super()._handle_termination(signum, frame)
        sys.exit(128 + signum)

    @classmethod
    def get_singer_command(cls) -> click.Command:
        command = super().get_singer_command()
        # Click reads the options, and discovers, before the command sets its own hook.
        command.excepthook = sys.excepthook = cls._print_error
        return command

    @classmethod
    def _print_error(cls, kind, error, traceback) -> None:
        """Log an error that ends the tap: in one line, unless the log level is DEBUG."""
        if isinstance(error, (Refusal, ReadError)):
            text = str(error)
        elif isinstance(error, sa.exc.OperationalError):
            text = f"{error.orig} (check POSTGRES_HOST, _PORT, _USER, _PASSWORD and _DB)"
        else:
            text = f"{kind.__name__}: {getattr(error, 'orig', error)}"
        is_debug = cls.logger.isEnabledFor(logging.DEBUG)
        cls.logger.error(
            "Error: %s",
            " ".join(text.split()),
            exc_info=(kind, error, traceback) if is_debug else None,
        )

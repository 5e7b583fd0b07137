"""The Singer side of the loader: messages in, commits, then STATE out."""

import datetime as dt
import gzip
import json
import os
import sys
import time
import uuid
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, ClassVar
from urllib.parse import unquote, urlparse

import click
import msgspec
import pyarrow as pa
from singer_sdk import typing as th
from singer_sdk.exceptions import MissingKeyPropertiesError, RecordsWithoutSchemaException
from singer_sdk.helpers.capabilities import PluginCapabilities, TargetCapabilities
from singer_sdk.singerlib.encoding import GenericSingerReader
from singer_sdk.target_base import Target

from .errors import LoadError, ValueMisfit
from .records import RecordReader
from .schema import TIMESTAMP, Table, table_from_schema
from .warehouse import Counts, Warehouse

# Arrow's own allocator keeps what it once had; the system's gives it back.
pa.set_memory_pool(pa.system_memory_pool())
# Records are parsed in chunks of about this size: enough to be fast, little to hold.
CHUNK_BYTES = 8 << 20
# Rows that came in are made visible at the next STATE after this time, however few.
COMMIT_SECONDS = 60

# By warehouse: the other one, the environment for this one, the other one's loader.
_OTHER = {
    "DuckDB": ("BigQuery", "dev", "target-bigquery"),
    "BigQuery": ("DuckDB", "bigquery", "target-duckdb"),
}


class Message(msgspec.Struct, gc=False):
    """Any Singer message; payloads stay raw JSON until they are needed."""

    type: str
    stream: str | None = None
    record: msgspec.Raw = msgspec.Raw()
    time_extracted: str | None = None
    version: int | None = None
    schema: msgspec.Raw = msgspec.Raw()
    key_properties: list[str] | None = None
    bookmark_properties: list[str] | None = None
    value: msgspec.Raw = msgspec.Raw()
    encoding: dict[str, Any] | None = None
    manifest: list[str] | None = None


class MessageReader(GenericSingerReader[bytes]):
    """Reads messages without decoding the records in them."""

    default_input = None

    def process_lines(
        self, file_input: IO[Any] | None, callbacks: dict[str, Callable[[Any], None]]
    ) -> Counter[str]:
        """Hand each message to the callback of its type; counts them by type.

        Raises:
            LoadError: a line that is no Singer message.
        """
        counts: Counter[str] = Counter()
        decode = msgspec.json.Decoder(Message).decode
        for number, line in enumerate(file_input or sys.stdin.buffer, 1):
            try:
                message = decode(line)
                callback = callbacks[message.type]
            except (msgspec.DecodeError, KeyError) as error:
                last = line[-1:] not in (b"\n", "\n")
                raise LoadError(
                    f"line {number} of the input is no Singer message"
                    f"{', or is cut short' if last else ''} ({error}); nothing after the last "
                    f"STATE is kept: see why the tap wrote it, then run again"
                ) from None
            callback(message)
            counts[message.type] += 1
        return counts

    def deserialize_json(self, line: bytes) -> dict[str, Any]:
        return msgspec.json.decode(line)


class Stream:
    """What has come in of one stream and is not yet committed."""

    def __init__(self, table: Table, replication_key: str | None) -> None:
        self.declared = table  # as the SCHEMA message has it
        self.table = table  # with the types the warehouse holds
        self.replication_key = replication_key
        self.reader = RecordReader(table)
        self.version: int | None = None  # announced, or of the newest record
        self.activate: int | None = None
        self.reported = False
        self._reset()

    def _reset(self) -> None:
        self.clear_records()
        self.files: list[Path] = []  # batch files that the next commit makes visible
        self.rows = 0
        self.bytes = 0
        self.started = time.monotonic()
        self.stopped: float | None = None

    def clear_records(self) -> None:
        self.records: list[msgspec.Raw] = []
        self.extracted: list[str | None] = []
        self.versions: list[int | None] = []
        self.record_bytes = 0

    @property
    def seconds(self) -> float:
        return (self.stopped or time.monotonic()) - self.started

    def committed(self) -> None:
        self.activate = None
        self.reported = True
        self._reset()


class TargetWarehouse(Target):
    """A Singer target whose STATE never runs ahead of what is committed.

    Records are buffered per stream, staged in chunks, and made visible by one commit per stream.
    Commits happen when enough rows are staged, when some time has passed, and at the end; after
    all streams are committed the newest STATE is emitted, as it came.
    """

    package_name = "headwater-target-warehouse"
    # What the loader loads, and the outputs of dbt's profile that model it.
    warehouse_name: ClassVar[str]
    dbt_targets: ClassVar[tuple[str, ...]]
    message_reader_class = MessageReader
    capabilities: ClassVar[list] = [
        PluginCapabilities.ABOUT,
        PluginCapabilities.ACTIVATE_VERSION,
        PluginCapabilities.BATCH,
        PluginCapabilities.STRUCTURED_LOGGING,
        TargetCapabilities.HARD_DELETE,
        TargetCapabilities.SOFT_DELETE,
        TargetCapabilities.TARGET_SCHEMA,
    ]
    common_settings: ClassVar[list[th.Property]] = [
        th.Property(
            "dbt_target",
            th.StringType,
            description="The output of dbt's profile that models what is loaded.",
        ),
        th.Property(
            "default_target_schema",
            th.StringType,
            default="raw",
            description="The schema for streams whose name has no `schema-` before the table.",
        ),
        th.Property(
            "batch_size_rows",
            th.IntegerType,
            default=1_000_000,
            description="Rows that are staged before a commit makes them visible.",
        ),
        th.Property(
            "batch_folder",
            th.StringType,
            description="Batch files in this folder are removed when they are loaded.",
        ),
        th.Property(
            "hard_delete",
            th.BooleanType,
            default=False,
            description="Remove the rows a full refresh no longer sees, instead of marking them.",
        ),
    ]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._streams: dict[str, Stream] = {}
        self._current: Stream | None = None
        self._unregistered: dict[str, dict[str, Any]] = {}
        self._emptied: set[Path] = set()
        self._state: bytes | None = None
        self._staged_rows = 0
        self._committed_at = time.monotonic()
        self._warehouse: Warehouse | None = None
        self._run_id = os.environ.get("MELTANO_RUN_ID") or str(uuid.uuid4())
        # Microseconds since the epoch, then counted: rises over the runs and within each.
        self._sequence = time.time_ns() // 1000

    def listen(self, file_input: IO[str] | None = None) -> None:
        """Load the messages.

        Raises:
            LoadError: dbt would look for the rows in another warehouse.
        """
        target = self.config.get("dbt_target")
        if target and target not in self.dbt_targets:
            other, environment, loader = _OTHER[self.warehouse_name]
            raise LoadError(
                f"{self.name} loads {self.warehouse_name}, but environment "
                f"{os.environ.get('MELTANO_ENVIRONMENT')} models {other}: set "
                f"MELTANO_ENVIRONMENT={environment}, or use {loader}"
            )
        super().listen(file_input)

    @abstractmethod
    def open_warehouse(self) -> Warehouse:
        """Connect to the warehouse of the settings."""

    @property
    def warehouse(self) -> Warehouse:
        if self._warehouse is None:
            self._warehouse = self.open_warehouse()
            self._warehouse.create_audit_tables()
        return self._warehouse

    # Messages

    def _process_schema_message(self, message: Message) -> None:
        schema = msgspec.json.decode(message.schema) if message.schema else {}
        if not message.stream or not isinstance(schema.get("properties"), dict):
            raise LoadError(f"the SCHEMA message of {message.stream} has no properties")
        table = table_from_schema(
            message.stream,
            schema,
            message.key_properties or [],
            default_schema=self.config["default_target_schema"],
        )
        if self._current:
            self._current.stopped = time.monotonic()
        known = self._streams.get(message.stream)
        if known and known.declared == table:
            self._current = known
            return
        if known:  # rows before the change belong to the schema before it
            self._commit(known)
        replication_key = (message.bookmark_properties or [None])[0]
        stream = self._streams[message.stream] = Stream(table, replication_key)
        if known:
            stream.version, stream.reported = known.version, known.reported
        self._current = stream
        stream.table = self.warehouse.prepare(table)
        self._unregistered[table.stream] = {
            "stream": table.stream,
            "table_schema": table.schema,
            "table_name": table.name,
            "key_properties": json.dumps(message.key_properties or []),
            "replication_key": replication_key,
            "run_id": self._run_id,
            "seen_at": dt.datetime.now(dt.UTC),
        }

    def _process_record_message(self, message: Message) -> None:
        stream = self._streams.get(message.stream)
        if stream is None:
            raise RecordsWithoutSchemaException(
                f"{message.stream}: a record came before its SCHEMA message"
            )
        self._commit_activated(stream)
        stream.records.append(message.record)
        stream.extracted.append(message.time_extracted)
        stream.versions.append(message.version)
        stream.record_bytes += len(message.record)
        if (
            stream.record_bytes >= CHUNK_BYTES
            or len(stream.records) >= self.config["batch_size_rows"]
        ):
            self._stage_records(stream)
            self._commit_if_large()

    def _process_batch_message(self, message: Message) -> None:
        stream = self._streams.get(message.stream)
        if stream is None:
            raise RecordsWithoutSchemaException(
                f"{message.stream}: a batch came before its SCHEMA message"
            )
        self._commit_activated(stream)
        self._stage_records(stream)
        encoding = message.encoding or {}
        for url in message.manifest or []:
            path = Path(unquote(urlparse(url).path))
            if not path.is_file():
                raise LoadError(f"{message.stream}: the batch file {path} is not there")
            match encoding.get("format"), encoding.get("compression"):
                case "parquet", _:
                    self._stage_parquet(stream, path)
                case "jsonl", None | "none" | "gzip" as compression:
                    self._stage_jsonl(stream, path, compression == "gzip")
                case other:
                    raise LoadError(f"{message.stream}: batches of {other} cannot be read")
            stream.files.append(path)
            self._commit_if_large(self.warehouse.batch_rows)

    def _process_activate_version_message(self, message: Message) -> None:
        """The first such message may announce a version; one after its rows completes it.

        Singer SDK taps announce before the rows, classic ones complete after them, and the tap in
        this project does both. Only completion may mark what the stream no longer has.
        """
        stream = self._streams.get(message.stream)
        if stream is None:
            raise RecordsWithoutSchemaException(
                f"{message.stream}: a version came before its SCHEMA message"
            )
        self._stage_records(stream)
        if stream.version == message.version:
            stream.activate = message.version
        else:
            self._commit_activated(stream)
            stream.version = message.version

    def _process_state_message(self, message: Message) -> None:
        self._state = bytes(message.value)
        if time.monotonic() - self._committed_at > COMMIT_SECONDS:
            self._commit_all()

    def process_endofpipe(self) -> None:
        """Commit what is left, and report each stream, also one that sent no rows."""
        if self._current and self._current.stopped is None:
            self._current.stopped = time.monotonic()
        self._commit_all(at_end=True)
        for folder in self._emptied:
            with suppress(OSError):  # not empty: what another process has written there
                folder.rmdir()
        if self._warehouse:
            self._warehouse.close()

    # Staging

    def _stage_records(self, stream: Stream) -> None:
        if stream.records:
            rows = stream.reader.read(stream.records)
            self._stage(stream, rows, stream.extracted, stream.versions, stream.record_bytes)
            stream.clear_records()

    def _stage(
        self,
        stream: Stream,
        rows: pa.Table,
        extracted: list[str | None],
        versions: list[int | None],
        size: int,
    ) -> None:
        now = dt.datetime.now(dt.UTC)
        count = rows.num_rows
        metadata = {
            "_sdc_extracted_at": pa.array(extracted, pa.string()).cast(TIMESTAMP),
            "_sdc_received_at": pa.repeat(pa.scalar(now, TIMESTAMP), count),
            "_sdc_batched_at": pa.repeat(pa.scalar(now, TIMESTAMP), count),
            "_sdc_deleted_at": pa.nulls(count, TIMESTAMP),
            "_sdc_sequence": pa.array(range(self._sequence, self._sequence + count), pa.int64()),
            "_sdc_table_version": pa.array(versions, pa.int64()),
        }
        newest = versions[-1] if versions else None
        if newest is not None:
            stream.version = newest
        arrays = []
        for column, values in zip(stream.table.columns, rows.columns, strict=True):
            try:
                target = pa.string() if column.type == pa.json_() else column.type
                arrays.append(values.cast(target))
            except pa.ArrowInvalid:
                raise ValueMisfit(
                    stream.table.stream, column.field, f"a {values.type}", str(column.type)
                ) from None
        names = [c.name for c in stream.table.columns]
        for name in stream.table.metadata:
            names.append(name)
            arrays.append(metadata[name])
        self.warehouse.stage(stream.table, pa.table(arrays, names))
        self._count(stream, count, size)

    def _stage_parquet(self, stream: Stream, path: Path) -> None:
        now = dt.datetime.now(dt.UTC)
        metadata = {
            "_sdc_extracted_at": now,
            "_sdc_received_at": now,
            "_sdc_batched_at": now,
            "_sdc_sequence": self._sequence,
            "_sdc_table_version": stream.version,
        }
        rows = self.warehouse.stage_parquet(stream.table, path, metadata)
        self._count(stream, rows, path.stat().st_size)

    def _stage_jsonl(self, stream: Stream, path: Path, compressed: bool) -> None:
        with gzip.open(path) if compressed else path.open("rb") as lines:
            for line in lines:
                stream.records.append(msgspec.Raw(line))
                stream.record_bytes += len(line)
                if stream.record_bytes >= CHUNK_BYTES:
                    self._stage_jsonl_chunk(stream)
        self._stage_jsonl_chunk(stream)

    def _stage_jsonl_chunk(self, stream: Stream) -> None:
        count = len(stream.records)
        stream.extracted = [None] * count
        stream.versions = [stream.version] * count
        self._stage_records(stream)

    def _count(self, stream: Stream, rows: int, size: int) -> None:
        stream.rows += rows
        stream.bytes += size
        self._sequence += rows
        self._staged_rows += rows

    # Commits

    def _commit_if_large(self, rows: int | None = None) -> None:
        limit = self.config["batch_size_rows"]
        if self._staged_rows >= min(limit, rows or limit):
            self._commit_all()

    def _commit_all(self, *, at_end: bool = False) -> None:
        if self._streams:
            self._register()
            self._commit_together(
                [s for s in self._streams.values() if self._is_due(s, report=at_end)]
            )
        if self._state is not None:
            sys.stdout.write(self._state.decode() + "\n")
            sys.stdout.flush()
        self._state = None
        self._staged_rows = 0
        self._committed_at = time.monotonic()

    def _commit_together(self, streams: list[Stream]) -> None:
        """Raises the first error, when the commits that were under way have ended."""
        with ThreadPoolExecutor(self.warehouse.parallel_commits) as pool:
            commits = {pool.submit(self._commit_staged, stream): stream for stream in streams}
            try:
                for commit in as_completed(commits):
                    self._committed(commits[commit], commit.result())
            finally:
                pool.shutdown(cancel_futures=True)

    def _commit(self, stream: Stream) -> None:
        if self._is_due(stream):
            self._committed(stream, self._commit_staged(stream))

    def _commit_activated(self, stream: Stream) -> None:
        """What comes after a version's end does not belong to it."""
        if stream.activate is not None:
            self._commit(stream)

    def _is_due(self, stream: Stream, *, report: bool = False) -> bool:
        self._stage_records(stream)
        return bool(stream.rows or stream.activate is not None or (report and not stream.reported))

    def _commit_staged(self, stream: Stream) -> Counts:
        """Runs in a thread of its own."""
        table = stream.table
        return self.warehouse.commit(
            table,
            activate=stream.activate,
            hard_delete=self.config["hard_delete"],
            audit={
                "run_id": self._run_id,
                "stream": table.stream,
                "table_schema": table.schema,
                "table_name": table.name,
                "rows_received": stream.rows,
                "bytes": stream.bytes,
                "seconds": stream.seconds,
                "loaded_at": dt.datetime.now(dt.UTC),
            },
        )

    def _committed(self, stream: Stream, counts: Counts) -> None:
        self._log(stream, counts)
        self._remove(stream.files)
        stream.committed()

    def _remove(self, files: list[Path]) -> None:
        """Remove those files that were written for this loader alone."""
        folder = self.config.get("batch_folder")
        for file in files:
            if folder and file.is_relative_to(Path(folder).absolute()):
                file.unlink(missing_ok=True)
                self._emptied.add(file.parent)

    def _log(self, stream: Stream, counts: Counts) -> None:
        self.logger.info(
            "%s: %s rows received, %s inserted, %s updated, %s unchanged, %s deleted, %.1f s",
            stream.table.stream,
            f"{stream.rows:,}",
            f"{counts.inserted:,}",
            f"{counts.updated:,}",
            f"{counts.unchanged:,}",
            f"{counts.deleted:,}",
            stream.seconds,
        )

    def _register(self) -> None:
        """Note in `_headwater.streams` what reconcile has to know of the streams."""
        if self._unregistered:
            self.warehouse.execute(self.warehouse.register_sql(list(self._unregistered.values())))
            self._unregistered.clear()

    # The command

    @classmethod
    def append_builtin_config(cls, config_jsonschema: dict[str, Any]) -> None:
        """The settings are those declared above: none is offered that has no effect."""

    @classmethod
    def invoke(cls, **kwargs: Any) -> None:
        """Run, and turn what the user can mend into one line and exit code 1."""
        try:
            super().invoke(**kwargs)
        except (LoadError, MissingKeyPropertiesError, RecordsWithoutSchemaException) as error:
            raise click.ClickException(str(error)) from None

    def _handle_termination(self, signum: int, frame: Any) -> None:
        """Stop at once: what is not committed is read again, and the exit code says so."""
        sys.exit(128 + signum)

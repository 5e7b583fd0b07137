"""target-bigquery: the warehouse on BigQuery."""

import io
import json
import os
import re
import tempfile
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import google.auth
import google.auth.exceptions
import pyarrow as pa
import pyarrow.parquet
import requests.exceptions
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials, Credentials
from google.cloud import bigquery
from google.cloud.bigquery.retry import DEFAULT_RETRY
from singer_sdk import typing as th

from .bigquery_sql import BIGNUMERIC, BigQuerySQL
from .errors import LoadError
from .schema import JSON, NUMERIC, TIME, TIMESTAMP, Table, decimal_type
from .target import TargetWarehouse
from .warehouse import AUDIT_SCHEMA, Counts, Warehouse, audit_row, parquet_columns, parquet_rows

# Seconds before the first retry; each further one waits twice as long.
FIRST_DELAY = 1.0
LONGEST_DELAY = 60.0
# Seconds between two looks at a job: at first, and at most.
FIRST_LOOK, LONGEST_LOOK = 0.1, 2.0
# Seconds that one request may take.
REQUEST_TIMEOUT = 120
# Where the sandbox's BigQuery listens, unless api_endpoint says otherwise.
EMULATOR = "http://127.0.0.1:9050"
SCOPES = ("https://www.googleapis.com/auth/bigquery",)
# https://cloud.google.com/bigquery/docs/error-messages
_RETRYABLE_REASONS = {
    "backendError",
    "internalError",
    "jobBackendError",
    "jobInternalError",
    "jobRateLimitExceeded",
    "rateLimitExceeded",
}
_RETRYABLE_ERRORS = (
    exceptions.TooManyRequests,
    exceptions.ServerError,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ConnectionError,
    requests.exceptions.Timeout,
    google.auth.exceptions.TransportError,
)
_FIELD_TYPES = {
    "BOOL": pa.bool_(),
    "BOOLEAN": pa.bool_(),
    "INT64": pa.int64(),
    "INTEGER": pa.int64(),
    "FLOAT": pa.float64(),
    "FLOAT64": pa.float64(),
    "BYTES": pa.binary(),
    "DATE": pa.date32(),
    "TIME": TIME,
    "TIMESTAMP": TIMESTAMP,
    "JSON": JSON,
    "NUMERIC": NUMERIC,
    "BIGNUMERIC": BIGNUMERIC,
}
Job = bigquery.QueryJob | bigquery.LoadJob
Result = TypeVar("Result")


@dataclass
class _Staged:
    """Rows of one stream in a Parquet file of ours, until they are committed."""

    path: Path
    writer: pyarrow.parquet.ParquetWriter
    rows: int = 0


class _EqualKeys(Exception):
    """Rows with equal keys have come without the order in which they did."""


@dataclass(frozen=True)
class _Whole:
    """A batch file that is loaded as it is, and the values of its rows' metadata columns."""

    path: Path
    rows: int
    metadata: Mapping[str, Any]


class BigQueryWarehouse(BigQuerySQL, Warehouse):
    """Rows wait in local Parquet files; a commit loads, merges and audits them, then sweeps.

    BigQuery has no cheap transaction over several statements: the order makes up for it. First the
    MERGE, then the audit row, so that no row claims what did not happen; a commit that is cut short
    in between is done again by the next run, to the same end.
    """

    def __init__(
        self,
        project: str,
        *,
        prefix: str = "",
        location: str = "US",
        api_endpoint: str | None = None,
        credentials: Credentials | None = None,
        labels: Mapping[str, str] | None = None,
        maximum_bytes_billed: int | None = None,
        priority: str = "INTERACTIVE",
        job_timeout: float = 600,
        retry_seconds: float = 600,
        parallel_commits: int = 8,
        on_warning: Callable[[str], None] = lambda message: None,
    ) -> None:
        """Connects to nothing yet. `job_timeout`: seconds for a job, which is then cancelled.

        `retry_seconds`: for so long is tried again what BigQuery calls retryable.
        """
        super().__init__(project, re.sub(r"\W", "_", prefix, flags=re.ASCII))
        self.parallel_commits = parallel_commits
        self._job_timeout, self._retry_seconds = job_timeout, retry_seconds
        self._warn = on_warning
        self._labels = {name: label(value) for name, value in (labels or {}).items() if value}
        self._query_options: dict[str, Any] = {"priority": priority}
        if maximum_bytes_billed:
            self._query_options["maximum_bytes_billed"] = maximum_bytes_billed
        self._retry = DEFAULT_RETRY.with_timeout(retry_seconds).with_delay(
            initial=FIRST_DELAY, maximum=LONGEST_DELAY
        )
        self._client = bigquery.Client(
            project,
            credentials=credentials,
            location=location,
            client_options={"api_endpoint": api_endpoint} if api_endpoint else None,
        )
        # Removed in the end, also after an error.
        self._directory = tempfile.TemporaryDirectory(prefix="target-bigquery-")
        self._staged: dict[str, _Staged] = {}
        self._whole: dict[str, list[_Whole]] = defaultdict(list)
        self._schemas: set[str] = set()
        self._closed = threading.Event()

    def close(self) -> None:
        self._closed.set()
        self._directory.cleanup()
        self._client.close()

    # Jobs

    def query(self, sql: str) -> pa.Table:
        return self._query(sql)

    def execute(self, sql: str) -> int:
        return self._run(sql).num_dml_affected_rows or 0

    def _query(self, sql: str, stream: str | None = None) -> pa.Table:
        with one_line_errors():
            rows = self._run(sql, stream).result(retry=self._retry, timeout=REQUEST_TIMEOUT)
            return rows.to_arrow(create_bqstorage_client=False)

    def _run(self, sql: str, stream: str | None = None) -> bigquery.QueryJob:
        config = bigquery.QueryJobConfig(
            **self._query_options, labels=self._job_labels(stream), job_timeout_ms=self._timeout_ms
        )

        def start(job_id: str) -> bigquery.QueryJob:
            return self._client.query(
                sql,
                config,
                job_id=job_id,
                retry=self._retry,
                timeout=REQUEST_TIMEOUT,
                job_retry=None,
            )

        return self._finish(start)

    def _load(self, file: io.IOBase, ref: str, stream: str | None) -> bigquery.LoadJob:
        config = bigquery.LoadJobConfig(
            source_format=bigquery.SourceFormat.PARQUET,
            write_disposition=bigquery.WriteDisposition.WRITE_APPEND,
            create_disposition=bigquery.CreateDisposition.CREATE_NEVER,
            # The smallest that holds a column's digits.
            decimal_target_types=["NUMERIC", "BIGNUMERIC"],
            labels=self._job_labels(stream),
            job_timeout_ms=self._timeout_ms,
        )
        size = file.seek(0, io.SEEK_END)

        def start(job_id: str) -> bigquery.LoadJob:
            return self._client.load_table_from_file(
                file,
                ref.replace("`", ""),
                rewind=True,
                size=size,
                job_id=job_id,
                job_config=config,
                num_retries=0,
                timeout=REQUEST_TIMEOUT,
            )

        return self._finish(start)

    @property
    def _timeout_ms(self) -> int:
        return int(self._job_timeout * 1000)

    def _job_labels(self, stream: str | None) -> dict[str, str]:
        return self._labels | ({"stream": label(stream)} if stream else {})

    def _finish(self, start: Callable[[str], Job]) -> Job:
        """Start a job and wait for it, again where BigQuery says that it may be.

        A job has one id until it is known to have failed, so that it never runs twice.

        Raises:
            LoadError: it failed, or did not end in time.
        """
        give_up = time.monotonic() + self._retry_seconds
        delay = FIRST_DELAY
        job_id = _new_id()
        with one_line_errors():
            while True:
                try:
                    try:
                        job = start(job_id)
                    except exceptions.Conflict:  # an earlier request has reached BigQuery after all
                        job = self._client.get_job(
                            job_id, retry=self._retry, timeout=REQUEST_TIMEOUT
                        )
                    self._wait(job)
                    if job.error_result:
                        job_id = _new_id()
                        raise job.exception()
                    return job
                except Exception as error:
                    if not _is_retryable(error) or time.monotonic() + delay > give_up:
                        raise
                    self._warn(f"BigQuery: {first_line(error)}; again in {delay:g} s")
                    self._closed.wait(delay)
                    delay = min(2 * delay, LONGEST_DELAY)

    def _wait(self, job: Job) -> None:
        give_up = time.monotonic() + self._job_timeout
        look = FIRST_LOOK
        while not job.done(retry=self._retry, timeout=REQUEST_TIMEOUT):
            if time.monotonic() > give_up or self._closed.wait(look):
                with suppress(*_ANY_ERROR):
                    job.cancel(retry=None, timeout=REQUEST_TIMEOUT)
                raise LoadError(
                    f"BigQuery: the job {job.job_id} did not end within {self._job_timeout:g} s "
                    "and was cancelled; run again, or raise job_timeout_seconds"
                )
            look = min(2 * look, LONGEST_LOOK)

    # Tables

    def columns(self, schema: str, name: str) -> dict[str, pa.DataType]:
        with one_line_errors():
            try:
                table = self._client.get_table(
                    self.quote(schema, name).replace("`", ""),
                    retry=self._retry,
                    timeout=REQUEST_TIMEOUT,
                )
            except exceptions.NotFound:
                return {}
        return {field.name.lower(): _arrow_type(field) for field in table.schema}

    def create(
        self, schema: str, name: str, columns: Mapping[str, pa.DataType], keys: tuple[str, ...] = ()
    ) -> None:
        if self.columns(schema, name):
            return
        dataset = self.dataset_ref(schema).replace("`", "")
        if dataset not in self._schemas:
            with one_line_errors():
                try:
                    # To create one, even if it exists, takes a permission that a loader may lack.
                    self._client.get_dataset(dataset, retry=self._retry, timeout=REQUEST_TIMEOUT)
                except exceptions.NotFound:
                    self.execute(self.create_schema_sql(schema))
            self._schemas.add(dataset)
        self.execute(self.create_table_sql(schema, name, columns, keys))

    def append(self, schema: str, name: str, rows: pa.Table) -> None:
        file = io.BytesIO()
        pyarrow.parquet.write_table(rows, file, compression="zstd")
        self._load(file, self.quote(schema, name), stream=None)

    # Staging

    def stage(self, table: Table, rows: pa.Table) -> None:
        self._rewrite(table)
        self._write(table, rows)

    def _write(self, table: Table, rows: pa.Table) -> None:
        schema = pa.schema((n, self.staging_type(t)) for n, t in _columns(table).items())
        staged = self._staged.get(table.stream)
        if staged is None:
            path = Path(self._directory.name, f"{uuid.uuid4().hex}.parquet")
            writer = pyarrow.parquet.ParquetWriter(path, schema, compression="zstd")
            staged = self._staged[table.stream] = _Staged(path, writer)
        staged.writer.write_table(rows.cast(schema))
        staged.rows += rows.num_rows

    def stage_parquet(self, table: Table, path: Path, metadata: Mapping[str, Any]) -> int:
        with pyarrow.parquet.ParquetFile(path) as file:
            as_is = self._loads_as_it_is(table, file.schema_arrow)
            rows = file.metadata.num_rows
        whole = self._whole[table.stream]
        whole.append(_Whole(path, rows, metadata))
        version = "_sdc_table_version"
        same_version = whole[0].metadata.get(version) == metadata.get(version)
        if table.stream in self._staged or not (as_is and same_version):
            self._rewrite(table)
        return rows

    def _loads_as_it_is(self, table: Table, file: pa.Schema) -> bool:
        """Raises LoadError as `stage_parquet` does."""
        parquet_columns(self, table, file)
        names = [column.name for column in table.columns]
        return sorted(names) == sorted(file.names) != [] and all(
            self.loads_exactly(file.field(column.name).type, column.type)
            for column in table.columns
        )

    def _rewrite(self, table: Table) -> None:
        """Take the batch files' rows into a file of ours, in which each has its place in order."""
        for whole in self._whole.pop(table.stream, ()):
            with pyarrow.parquet.ParquetFile(whole.path) as file:
                found = parquet_columns(self, table, file.schema_arrow)
                for rows in parquet_rows(table, file, found, whole.metadata):
                    self._write(table, rows)

    # Commits

    def commit(
        self, table: Table, *, activate: int | None, hard_delete: bool, audit: Mapping[str, Any]
    ) -> Counts:
        started = time.monotonic()
        stream = table.stream
        counts = Counts()
        if whole := self._whole.get(stream):
            paths, rows = [each.path for each in whole], sum(each.rows for each in whole)
            try:
                counts = self._load_and_merge(table, paths, rows, whole[0].metadata)
                del self._whole[stream]
            except _EqualKeys:
                self._rewrite(table)
        if staged := self._staged.pop(stream, None):
            staged.writer.close()
            counts = self._load_and_merge(table, [staged.path], staged.rows)
            staged.path.unlink()
        if activate is not None:
            sql = self.activate_sql(table, activate, hard_delete=hard_delete)
            deleted = self._run(sql, stream).num_dml_affected_rows or 0
            counts = replace(counts, deleted=deleted)
        self._run(self.insert_audit_sql("loads", audit_row(audit, counts, started)), stream)
        return counts

    def _load_and_merge(
        self,
        table: Table,
        paths: Sequence[Path],
        rows: int,
        metadata: Mapping[str, Any] | None = None,
    ) -> Counts:
        """`metadata`: of all the rows, where the files have no such columns.

        Raises:
            _EqualKeys: which of two rows comes last is not in the files.
        """
        stream = table.stream
        name = f"staging_{table.schema}_{table.name}_{uuid.uuid4().hex[:12]}"
        ref = source = self.quote(AUDIT_SCHEMA, name)
        view = self.quote(AUDIT_SCHEMA, f"{name}_parsed")
        view_sql = self.create_parsed_view_sql(view, ref, table, metadata)
        types = _columns(table) if metadata is None else {c.name: c.type for c in table.columns}
        try:
            self._run(self.create_staging_sql(ref, types), stream)
            for path in paths:
                with path.open("rb") as file:
                    self._load(file, ref, stream)
            keys = self._check(table, ref, rows)
            if metadata is not None and table.keys and keys < rows:
                raise _EqualKeys
            if view_sql:
                self._run(view_sql, stream)
                source = view
            if not table.keys:
                inserted = self._run(self.insert_sql(source, table), stream).num_dml_affected_rows
                return Counts(inserted=inserted or 0)
            done = self._run(self.merge_sql(source, table), stream).dml_stats
            inserted, updated = done.inserted_row_count, done.updated_row_count
            if updated:  # some perhaps only in their version
                (changed,) = self._row(self.changed_sql(source, table), stream)
                updated = changed - inserted
            return Counts(inserted, updated, keys - inserted - updated)
        finally:
            for made in (view, ref) if view_sql else (ref,):
                self._sweep(made)

    def _sweep(self, ref: str) -> None:
        with suppress(*_ANY_ERROR):  # it expires by itself
            self._client.delete_table(
                ref.replace("`", ""),
                retry=self._retry.with_timeout(min(10, self._retry_seconds)),
                timeout=REQUEST_TIMEOUT,
                not_found_ok=True,
            )

    def _check(self, table: Table, ref: str, rows: int) -> int:
        """See that all rows are staged and can be merged; returns the number of their keys.

        Raises:
            LoadError: they are not, or cannot.
        """
        landed, keys, keyless, *counts = self._row(self.check_sql(ref, table), table.stream)
        if landed != rows:
            raise LoadError(f"{table.stream}: of {rows:,} rows BigQuery took {landed:,}; run again")
        if table.keys and keyless:
            names = ", ".join(table.keys)
            raise LoadError(f"{table.stream}: {keyless} rows have no value for their key {names}")
        json_columns = [c for c in table.columns if c.type == JSON]
        for column, misfits, wide in zip(json_columns, counts[::2], counts[1::2], strict=True):
            as_text = (
                "give the field `x-sql-datatype: text` in the extractor's `schema` extra, and "
                "reload the stream"
            )
            if misfits:
                raise LoadError(
                    f"{table.stream}.{column.field}: {misfits:,} values are JSON that BigQuery "
                    f"does not take; to admit them, {as_text}"
                )
            if wide:
                self._warn(
                    f"{table.stream}.{column.field}: {wide:,} values have numbers that JSON in "
                    f"BigQuery holds only rounded, as doubles; to keep their digits, {as_text}"
                )
        return keys

    def _row(self, sql: str, stream: str) -> list[Any]:
        return [column[0].as_py() for column in self._query(sql, stream).columns]


class TargetBigQuery(TargetWarehouse):
    """Singer target for BigQuery."""

    name = "target-bigquery"
    warehouse_name = "BigQuery"
    dbt_targets = ("bigquery", "emulator")
    config_jsonschema: ClassVar[dict[str, Any]] = th.PropertiesList(
        th.Property(
            "project",
            th.StringType,
            description="The Google Cloud project that is loaded into, and billed.",
        ),
        th.Property(
            "dataset_prefix",
            th.StringType,
            default="",
            description="Stands before every dataset's name.",
        ),
        th.Property(
            "location", th.StringType, default="US", description="Where datasets and jobs are."
        ),
        th.Property(
            "credentials_path",
            th.StringType,
            description="A key file; without it, Application Default Credentials.",
        ),
        th.Property(
            "credentials_json", th.StringType, secret=True, description="The key itself, as JSON."
        ),
        th.Property(
            "api_endpoint",
            th.StringType,
            description="Another endpoint than Google's; to an http:// one no credentials go.",
        ),
        th.Property(
            "maximum_bytes_billed",
            th.IntegerType,
            description="A query that would read more fails, and costs nothing.",
        ),
        th.Property(
            "priority",
            th.StringType,
            default="interactive",
            allowed_values=["interactive", "batch"],
            description="batch waits for idle slots.",
        ),
        th.Property(
            "job_timeout_seconds",
            th.IntegerType,
            default=600,
            description="A job that takes longer is cancelled, and the load fails.",
        ),
        th.Property(
            "retry_seconds",
            th.IntegerType,
            default=600,
            description="How long to try again what BigQuery calls retryable.",
        ),
        th.Property(
            "parallel_streams",
            th.IntegerType,
            default=8,
            description="How many streams are committed at once.",
        ),
        *TargetWarehouse.common_settings,
    ).to_dict()

    def open_warehouse(self) -> BigQueryWarehouse:
        return open_bigquery(
            self.config,
            run_id=self._run_id,
            environment=os.environ.get("MELTANO_ENVIRONMENT"),
            on_warning=self.logger.warning,
        )


def open_bigquery(
    config: Mapping[str, Any],
    *,
    run_id: str | None,
    environment: str | None = None,
    on_warning: Callable[[str], None] = lambda message: None,
) -> BigQueryWarehouse:
    """The warehouse of the loader's settings.

    Raises:
        LoadError: there is no project or no credentials.
    """
    if not config.get("project"):
        raise LoadError("BigQuery needs a project: set GCP_PROJECT_ID, in the environment or .env")
    limit = config.get("maximum_bytes_billed")
    endpoint = config.get("api_endpoint") or None
    if not endpoint and config.get("dbt_target") == "emulator":
        endpoint = EMULATOR
    with one_line_errors():
        return BigQueryWarehouse(
            config["project"],
            prefix=config.get("dataset_prefix") or "",
            location=config.get("location") or "US",
            api_endpoint=endpoint,
            credentials=_credentials(config, endpoint),
            labels={"app": "headwater", "environment": environment, "run_id": run_id},
            maximum_bytes_billed=int(limit) if limit else None,
            priority=config.get("priority", "interactive").upper(),
            job_timeout=config.get("job_timeout_seconds", 600),
            retry_seconds=config.get("retry_seconds", 600),
            parallel_commits=config.get("parallel_streams", 8),
            on_warning=on_warning,
        )


def _credentials(config: Mapping[str, Any], endpoint: str | None) -> Credentials:
    if endpoint and endpoint.startswith("http://"):
        return AnonymousCredentials()
    path, text = config.get("credentials_path"), config.get("credentials_json")
    try:
        if text:
            credentials, _ = google.auth.load_credentials_from_dict(json.loads(text), scopes=SCOPES)
        elif path:
            credentials, _ = google.auth.load_credentials_from_file(path, scopes=SCOPES)
        else:
            credentials, _ = google.auth.default(scopes=SCOPES)
    except ValueError:
        raise LoadError("credentials_json is not a key in JSON") from None
    except google.auth.exceptions.DefaultCredentialsError as error:
        if path and not text:
            raise LoadError(f"credentials_path: {first_line(error)}") from None
        raise LoadError(
            "there are no Google credentials: run `gcloud auth application-default login`, or set "
            "GOOGLE_APPLICATION_CREDENTIALS to a key file"
        ) from None
    return credentials


def label(value: str) -> str:
    """What BigQuery takes as a label's value: lower case, digits, _ and -, at most 63 of them."""
    return re.sub(r"[^a-z0-9_-]", "_", value.lower())[:63]


_ANY_ERROR = (
    exceptions.GoogleAPIError,
    google.auth.exceptions.GoogleAuthError,
    requests.exceptions.RequestException,
)


@contextmanager
def one_line_errors() -> Iterator[None]:
    try:
        yield
    except _ANY_ERROR as error:
        raise LoadError(f"BigQuery: {first_line(error)}") from error


def first_line(error: Exception) -> str:
    """What an error says; of one that was tried again, what it was."""
    if isinstance(error, exceptions.RetryError) and error.cause:
        error = error.cause
    text = error.message if isinstance(error, exceptions.GoogleAPICallError) else str(error)
    # The client adds the errors once more, in its own words.
    return text.split("; reason:")[0].splitlines()[0] if text.strip() else type(error).__name__


def _is_retryable(error: Exception) -> bool:
    if isinstance(error, exceptions.GoogleAPICallError) and error.errors:
        reason = error.errors[0].get("reason")
        return reason in _RETRYABLE_REASONS
    return isinstance(error, _RETRYABLE_ERRORS)


def _new_id() -> str:
    return f"headwater_{uuid.uuid4().hex}"


def _columns(table: Table) -> dict[str, pa.DataType]:
    schema = table.arrow_schema
    return dict(zip(schema.names, schema.types, strict=True))


def _arrow_type(field: bigquery.SchemaField) -> pa.DataType:
    if field.precision:
        return decimal_type(field.precision, field.scale or 0) or BIGNUMERIC
    return _FIELD_TYPES.get(field.field_type, pa.string())

"""The bulk lane: a table or view read in columns, and sent as BATCH messages of Parquet files."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property

import adbc_driver_manager
import pyarrow as pa
import sqlalchemy as sa
from singer_sdk.contrib.msgspec import encoder
from singer_sdk.helpers._batch import BaseBatchFileEncoding, BatchConfig
from singer_sdk.mapper import SameRecordTransform
from sqlalchemy.dialects.postgresql.base import PGDialect
from tap_postgres.client import PostgresLogBasedStream

from headwater_tap_postgres.batch_files import ROWS_PER_FILE, write_files
from headwater_tap_postgres.client import ReadError, Stream
from headwater_tap_postgres.columnar import (
    BOOKMARKS,
    ColumnarWire,
    Misfit,
    NoDate,
    bookmark,
    decimal_type,
)


class BulkStream(Stream):
    """A table or view, read in columns where `batch_config` asks for Parquet files.

    What it sends and leaves in the state equals what it does by rows, so that one can change
    between the two at any run. What columns cannot do is read by rows.
    """

    def get_batch_config(self, config) -> BatchConfig | None:
        """Return how batches are written; None if the stream is read by rows."""
        batch_config = super().get_batch_config(config)
        if batch_config and batch_config.encoding.format == "parquet" and self.reason_for_rows:
            return None
        return batch_config

    @cached_property
    def reason_for_rows(self) -> str | None:
        """Why the stream cannot be read in columns, None if it can; it is logged once."""
        reason = next(self._reasons_for_rows(), None)
        if reason:
            self.logger.info("%s is read by rows: %s", self.name, reason)
        return reason

    def _reasons_for_rows(self) -> Iterator[str]:
        if self.ABORT_AT_RECORD_COUNT is not None:
            yield "only a few are asked for"
        first, *others = self.stream_maps
        if others or type(first) is not SameRecordTransform or first.flattening_enabled:
            yield "a stream map, or flattening, changes them"
        for name, wire in self._wires.items():
            described = self.connector.to_jsonschema_type(wire)
            if _without_null(self.schema["properties"][name]) != _without_null(described):
                yield f"the catalog gives the column {name} another type"
            if wire.column.base == "numeric" and not decimal_type(wire.column):
                yield f"the column {name} may have more than 76 digits"
            if name == self.replication_key and wire.column.base not in BOOKMARKS:
                yield f"the replication key {name} is {wire.column.datatype}"

    @cached_property
    def _wires(self) -> dict[str, ColumnarWire]:
        """How the selected columns are read, by name."""
        selected = self.get_selected_schema()["properties"]
        return {
            column.name: ColumnarWire(self.connector.wire(column).column)
            for column in self.columns.values()
            if column.name in selected
        }

    def get_batches(
        self, batch_config: BatchConfig, context=None
    ) -> Iterable[tuple[BaseBatchFileEncoding, list[str]]]:
        """Yield each batch as soon as its file is finished; after the last one, note what the read
        has seen, as get_records does. Raises ReadError."""
        if batch_config.encoding.format != "parquet":
            yield from super().get_batches(batch_config, context)
            return
        self._write_starting_replication_value(context)
        with (
            self.get_sync_timer(),
            self.get_record_counter() as counter,
            self._one_line_errors(context),
            self.connector.arrow_transaction() as transaction,
            transaction.batches(self._columnar_query(context)) as batches,
        ):
            rows = self.config["batch_config"].get("batch_size", ROWS_PER_FILE)
            key = self.replication_key
            for file in write_files(map(self._finished, batches), self._tap.folder, rows, key):
                counter.increment(file.rows)
                yield batch_config.encoding, [file.path.as_uri()]
                if key:  # it has been sent: the state may go at any moment, with a signal
                    last = bookmark(self._wires[key].column, file.last)
                    self._increment_stream_state({key: last}, context=context)
        self._complete(context, is_written=True)
        self._finalize_state(self.get_context_state(context))

    def _columnar_query(self, context) -> str:
        name = self.fully_qualified_name
        columns = [sa.Column(column, wire) for column, wire in self._wires.items()]
        table = sa.Table(name.table, sa.MetaData(), *columns, schema=name.schema)
        query = self.apply_query_filters(table.select(), table, context=context)
        return str(
            self.apply_query_limit(query).compile(
                dialect=PGDialect(paramstyle="named"), compile_kwargs={"literal_binds": True}
            )
        )

    def _finished(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        arrays = [
            wire.finish(self.name, values, self._as_in_a_record)
            for wire, values in zip(self._wires.values(), batch.columns, strict=True)
        ]
        return pa.record_batch(arrays, names=list(self._wires))

    def _as_in_a_record(self, json: str) -> bytes:
        return encoder.encode(self.connector.deserialize_json(json))

    @contextmanager
    def _one_line_errors(self, context) -> Iterator[None]:
        try:
            yield
        except NoDate as error:
            self._refuse_date(error.column, context)
        except Misfit as error:
            raise ReadError(str(error)) from error
        except (adbc_driver_manager.Error, pa.ArrowException, OSError, ValueError) as error:
            raise ReadError(f"{self.name}: {_first_line(error)}") from error

    def _refuse_date(self, name: str, context) -> None:
        """Read the first value that is no date as a row does, which says what it is."""
        column = self.connector.get_table(self.fully_qualified_name).columns[name]
        query = self.build_query(context=context).with_only_columns(column)
        query = query.where(~column.between("0001-01-01", "9999-12-31 23:59:59.999999")).limit(1)
        try:
            with self.connector._connect() as connection:
                connection.execute(query).all()
        except (sa.exc.DBAPIError, ValueError) as error:
            raise ReadError(f"{self.name}: {getattr(error, 'orig', error)}") from error
        raise ReadError(f"{self.name}: column {name} held a value which is no ISO date: run again")


class LogBasedStream(PostgresLogBasedStream):
    """A table whose changes are read from the write-ahead log, by rows."""

    def get_batch_config(self, config) -> None:
        return None


def _without_null(schema: dict) -> dict:
    types = schema.get("type", [])
    found = {types} if isinstance(types, str) else {*types}
    return schema | {"type": sorted(found - {"null"})}


def _first_line(error: Exception) -> str:
    """What an error says; of Postgres' words, without the driver's around them."""
    text = re.sub(r"^.*?\b(ERROR|FATAL): +", "", str(error), flags=re.DOTALL)
    return text.splitlines()[0]

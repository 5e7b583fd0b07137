"""The connection and the streams: what is read, from where on, and what it leaves in the state."""

import datetime
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property

import sqlalchemy as sa
from psycopg2.extensions import make_dsn
from singer_sdk.singerlib.catalog import REPLICATION_INCREMENTAL
from tap_postgres.client import PostgresConnector, PostgresStream

from headwater_tap_postgres.adbc import ArrowConnection, Transaction
from headwater_tap_postgres.datatypes import TEMPORAL, Column, JSONSchema, Wire

_COLUMNS = sa.text("""
with recursive base_types (domain, type, typmod) as (
    select oid, typbasetype, typtypmod from pg_catalog.pg_type where typtype = 'd'
    union all
    select d.domain, t.typbasetype, t.typtypmod
    from base_types d join pg_catalog.pg_type t on t.oid = d.type
    where t.typtype = 'd'
)
select
    c.relname,
    a.attname,
    case t.typtype
        when 'e' then 'text'
        else pg_catalog.format_type(t.oid, coalesce(d.typmod, a.atttypmod))
    end,
    not a.attnotnull
from pg_catalog.pg_attribute a
join pg_catalog.pg_class c on c.oid = a.attrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
left join base_types d on d.domain = a.atttypid
join pg_catalog.pg_type t on t.oid = coalesce(d.type, a.atttypid)
where n.nspname = coalesce(:schema, current_schema())
    and c.relname = coalesce(:table, c.relname)
    and c.relkind in ('r', 'p', 'v', 'm', 'f')
    and a.attnum > 0
    and t.typtype <> 'd'
order by c.relname, a.attnum
""")

_SNAPSHOT = "select pg_catalog.pg_current_snapshot()::text"


class ReadError(Exception):
    """A stream cannot be read; the message is one line that names it."""


class Connector(PostgresConnector):
    """Knows the true type of each column."""

    sql_to_jsonschema_converter = JSONSchema
    snapshot: str
    """`pg_current_snapshot()` of the latest read."""

    def columns(self, schema: str | None, table: str | None = None) -> dict[str, dict[str, Column]]:
        """Return the columns of the tables and views of a schema, by table and name; of one
        table if it is given. Empty if there is none. A column of a view counts as nullable."""
        tables: dict[str, dict[str, Column]] = {}
        with self._engine.connect() as connection:
            for relation, *column in connection.execute(
                _COLUMNS, {"schema": schema, "table": table}
            ):
                tables.setdefault(relation, {})[column[0]] = Column(*column)
        return tables

    def wire(self, column: Column) -> Wire:
        """Return how a column is read and described."""
        if self.config["dates_as_string"] and column.base in TEMPORAL:
            column = replace(column, datatype="text")
        return Wire(column)

    def discover_catalog_entries(self, **kwargs) -> list[dict]:
        self._discovered = {}
        with warnings.catch_warnings():
            # SQLAlchemy's own types are not used, so that it need not recognize them.
            warnings.simplefilter("ignore", sa.exc.SAWarning)
            return super().discover_catalog_entries(**kwargs)

    def discover_catalog_entry(
        self, engine, inspected, schema_name, table_name, *args, reflected_columns, **kwargs
    ):
        if schema_name not in self._discovered:
            self._discovered[schema_name] = self.columns(schema_name)
        # A table that comes or goes during discovery has none.
        columns = self._discovered[schema_name].get(table_name, {})
        wired = [
            {**reflected, "type": self.wire(columns[reflected["name"]])}
            for reflected in reflected_columns
            if reflected["name"] in columns
        ]
        return super().discover_catalog_entry(
            engine, inspected, schema_name, table_name, *args, reflected_columns=wired, **kwargs
        )

    def get_table_columns(self, full_table_name, column_names=None) -> dict[str, sa.Column]:
        _, schema, table = self.parse_full_table_name(full_table_name)
        return {
            name: sa.Column(name, self.wire(column), nullable=column.is_nullable)
            for name, column in self.columns(schema, table).get(table, {}).items()
            if not column_names or name in column_names
        }

    @property
    def _session(self) -> list[str]:
        """Begins the transaction of a read: one snapshot for the rows and for what the state says
        of them; no wait without end; and what the text of a value depends on."""
        return [
            "set transaction isolation level repeatable read, read only",
            f"set local lock_timeout = '{self.config['lock_timeout_seconds']}s'",
            "set local timezone = 'UTC'",
            "set local datestyle = 'ISO'",
            "set local intervalstyle = 'postgres'",
            "set local extra_float_digits = 1",
        ]

    @contextmanager
    def _connect(self) -> Iterator[sa.Connection]:
        with super()._connect() as connection:
            self.snapshot = connection.scalar(
                sa.text("; ".join([*self._session, _SNAPSHOT])),
                execution_options={"stream_results": False},
            )
            yield connection

    @cached_property
    def _arrow(self) -> ArrowConnection:
        _, parameters = self._dialect.create_connect_args(self._engine.url)
        return ArrowConnection(make_dsn(**{**parameters, "client_encoding": "UTF8"}))

    def close(self) -> None:
        """Close the connections to the server."""
        if arrow := self.__dict__.pop("_arrow", None):
            arrow.close()
        self._engine.dispose()

    @contextmanager
    def arrow_transaction(self) -> Iterator[Transaction]:
        """What `_connect` is for rows."""
        with self._arrow.transaction(self._session) as transaction:
            self.snapshot = transaction.value(_SNAPSHOT)
            yield transaction


class Stream(PostgresStream):
    """A table or view, read whole or from a little before its bookmark on."""

    # A replication key is never null here, and an index keeps nulls last.
    supports_nulls_first = False

    @cached_property
    def columns(self) -> dict[str, Column]:
        """The columns that the table has in the database; empty if there is no such table."""
        table = self.fully_qualified_name
        return self.connector.columns(table.schema, table.table).get(table.table, {})

    def problems(self) -> Iterator[str]:
        """Yield what makes it impossible to read the stream without loss, as clauses."""
        if not self.columns:
            yield f"{self.name} is selected, but the database has no such table or view"
            return
        for name in self.primary_keys:
            if name not in self.columns:
                yield f"{self.name} has no column {name}, which is its key"
        if self.replication_method == REPLICATION_INCREMENTAL:
            name = self.replication_key
            if not name:
                yield f"{self.name} is INCREMENTAL and has no replication key"
            elif name not in self.columns:
                yield f"{self.name} has no column {name}, which is its replication key"
            elif name not in self.get_selected_schema()["properties"]:
                yield f"{self.name} is selected without {name}, which is its replication key"
            elif self.columns[name].is_nullable:
                yield (
                    f"the replication key {name} of {self.name} can be null, and such rows would "
                    "be lost: make the column NOT NULL, choose another one, or use FULL_TABLE"
                )

    @cached_property
    def overlap(self) -> datetime.timedelta:
        """How long before the bookmark a read starts; zero if the key is not a date or time."""
        key = self.columns.get(self.replication_key)
        seconds = self.config["overlap_seconds"] if key and key.base in TEMPORAL else 0
        return datetime.timedelta(seconds=seconds)

    def get_starting_replication_key_value(self, context):
        """Return the bookmark less the overlap, and not before `start_date`; None if there is
        neither. A row that was committed after a later one had been read is thus read next time."""
        value = super().get_starting_replication_key_value(context)
        if value is None or not self.overlap:
            return value
        start = self._parse_datetime(value).astimezone(datetime.UTC) - self.overlap
        if start_date := self.config.get("start_date"):
            start = max(start, self._parse_datetime(start_date))
        return start.isoformat()

    def _increment_stream_state(self, latest_record, *, context=None) -> None:
        if self.overlap:
            state = self.get_context_state(context)
            bookmark = state.get("replication_key_value")
            if state.get("replication_key") != self.replication_key:
                state.pop("replication_key_value", None)
            elif bookmark and latest_record[self.replication_key] < bookmark:
                return  # a row of the overlap: the bookmark stays
        super()._increment_stream_state(latest_record, context=context)

    def get_records(self, context):
        """Yield the rows; after the last one, note what the read has seen.

        The state gets the snapshot of the read. A FULL_TABLE stream repeats its ACTIVATE_VERSION,
        by which a target knows that no row of the version is missing. Raises ReadError.
        """
        try:
            yield from super().get_records(context)
        except (sa.exc.DBAPIError, ValueError) as error:
            raise ReadError(f"{self.name}: {getattr(error, 'orig', error)}") from error
        # The rows of another encoding's batches may still wait to be written.
        self._complete(context, is_written=not self.get_batch_config(self.config))

    def _complete(self, context, *, is_written: bool) -> None:
        """The rows have been read to the end."""
        if self.max_record_count():
            return  # there may be more rows
        self.get_context_state(context)["snapshot"] = self.connector.snapshot
        if self._stream_version and is_written:
            self._write_activate_version_message(self._stream_version)

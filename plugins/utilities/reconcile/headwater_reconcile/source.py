"""The source's side: keys and replication values of a table, from one snapshot, block by block."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Self

import psycopg
import pyarrow as pa
import pyarrow.csv
from psycopg import sql
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn

# Rows are parsed in blocks of about this size: enough to be fast, little to hold.
BLOCK_BYTES = 4 << 20
# Types whose values come as they are even into a text column: a cast strips a char's padding.
_TEXT = {
    psycopg.adapters.types[name].oid for name in ("text", "varchar", "bpchar", "name", '"char"')
}
_TIMESTAMP = psycopg.adapters.types["timestamp"].oid


class SourceError(Exception):
    """The source cannot be read; the message is one line."""


@dataclass(frozen=True)
class Relation:
    """A table or view. Only rows of tables tell which transaction wrote them."""

    schema: str
    name: str
    has_xmin: bool


@dataclass(frozen=True)
class Bookmark:
    """How far a stream has been read: the replication value, and what the read could see."""

    value: str | None
    snapshot: str | None


class Source:
    """A connection to Postgres; a context manager that closes it."""

    def __init__(self, host: str, port: int, user: str, password: str, database: str) -> None:
        """Raises SourceError if the server cannot be reached or refuses the login."""
        try:
            self._connection = psycopg.connect(
                host=host,
                port=port,
                user=user,
                password=password,
                dbname=database,
                connect_timeout=10,
                application_name="headwater reconcile",
            )
        except psycopg.Error as error:
            raise SourceError(
                f"{one_line(error)} (check POSTGRES_HOST, _PORT, _USER, _PASSWORD and _DB)"
            ) from None
        self._connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        self._connection.read_only = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """All that is read inside sees the database at one moment. Raises SourceError."""
        try:
            with self._connection.transaction():
                self._connection.execute(
                    "set local timezone = 'UTC'; set local datestyle = 'ISO'; "
                    "set local intervalstyle = 'postgres'; set local extra_float_digits = 1"
                )
                yield
        except psycopg.Error as error:
            raise SourceError(one_line(error)) from None

    def relation(self, stream: str) -> Relation | None:
        """The table or view of a stream `schema-table`; either name may have hyphens itself."""
        row = self._connection.execute(
            "select n.nspname, c.relname, c.relkind in ('r', 'p', 'm') from pg_class c "
            "join pg_namespace n on n.oid = c.relnamespace "
            "where n.nspname || '-' || c.relname = %s and c.relkind in ('r', 'p', 'm', 'v', 'f')",
            [stream],
        ).fetchone()
        return Relation(*row) if row else None

    def types(self, relation: Relation) -> dict[str, str]:
        """The columns' types, as Postgres writes them."""
        return dict(
            self._connection.execute(
                "select attname, format_type(atttypid, atttypmod) from pg_attribute "
                "where attrelid = %s::regclass and attnum > 0 and not attisdropped",
                [self._name(relation).as_string(self._connection)],
            ).fetchall()
        )

    def outside(self, relation: Relation, key: str | None, bookmark: Bookmark) -> sql.Composable:
        """A condition on rows `t`: the row may not have been there to be read.

        So it is when its replication value is above the bookmark, and when its transaction is not
        older than every one that was open when the read began. A subtransaction has an id of its
        own that the snapshot does not list, so ids between those of open transactions count too:
        such a row is in doubt until the next read, and then no longer.
        """
        terms = [sql.SQL("false")]
        if key and bookmark.value is not None:
            terms.append(
                sql.SQL("coalesce({} > {}, false)").format(
                    sql.Identifier("t", key), sql.Literal(bookmark.value)
                )
            )
        if relation.has_xmin and bookmark.snapshot:
            now, oldest_open = self._connection.execute(
                "select pg_snapshot_xmax(pg_current_snapshot())::text::bigint, "
                "pg_snapshot_xmin(%s::pg_snapshot)::text::bigint",
                [bookmark.snapshot],
            ).fetchone()
            # xmin is the lower half of the id: what it lacks is told by its distance from now.
            terms.append(
                sql.SQL(
                    "(t.xmin::text::bigint > 2 and "
                    "(({now} - t.xmin::text::bigint) & 4294967295) <= {since})"
                ).format(now=sql.Literal(now), since=sql.Literal(now - oldest_open))
            )
        return sql.SQL(" or ").join(terms)

    def start(
        self, type_: str, days: int, bookmark: str | None, earliest: str | None
    ) -> str | None:
        """The first replication value to look at: `days` before the bookmark, or `earliest`.

        The later of the two, as Postgres writes it; None where there is neither. `days`: 0 for no
        window.

        Raises:
            SourceError: there is a window, and the type is neither date nor timestamp.
        """
        if type_ != "date" and not type_.startswith("timestamp"):
            if days:
                raise SourceError(
                    f"a window needs a replication key that is a date or time, not {type_}"
                )
            return None
        window = bookmark if days else None
        statement = sql.SQL(
            "select greatest(({bookmark}::{type} - make_interval(days => {days}))::{type}, "
            "{earliest}::{type})::text"
        ).format(
            bookmark=sql.Literal(window),
            type=sql.SQL(type_),
            days=sql.Literal(days),
            earliest=sql.Literal(earliest),
        )
        return self._connection.execute(statement).fetchone()[0]

    def count(self, relation: Relation, outside: sql.Composable) -> tuple[int, int]:
        """The number of rows, and how many of them are outside the read."""
        return self._connection.execute(
            sql.SQL("select count(*), count(*) filter (where {}) from {} as t").format(
                outside, self._name(relation)
            )
        ).fetchone()

    def rows(
        self,
        relation: Relation,
        columns: Mapping[str, tuple[str, pa.DataType]],
        outside: sql.Composable,
        since: tuple[str, str] | None = None,
    ) -> Generator[pa.Table]:
        """Blocks of rows.

        `columns`: name in the block: (column at the source, type). A column `outside` is added.
        `since`: only rows where that column is at least that value.
        """
        where = sql.SQL("")
        if since:
            where = sql.SQL("where {} >= {}").format(
                sql.Identifier("t", since[0]), sql.Literal(since[1])
            )
        yield from self._copy(relation, columns, outside, where)

    def rows_by_key(
        self,
        relation: Relation,
        columns: Mapping[str, tuple[str, pa.DataType]],
        outside: sql.Composable,
        keys: Mapping[str, Sequence],
    ) -> Generator[pa.Table]:
        """Blocks of those rows whose key columns have one of the given combinations of values."""
        types = self.types(relation)
        lists, conditions = [], []
        for number, (name, values) in enumerate(keys.items()):
            texts = ["\\x" + v.hex() if isinstance(v, bytes) else str(v) for v in values]
            lists.append(sql.SQL("{}::text[]").format(sql.Literal(texts)))
            conditions.append(
                sql.SQL("{} = {}::{}").format(
                    sql.Identifier("t", name),
                    sql.Identifier("wanted", f"k{number}"),
                    sql.SQL(types[name]),
                )
            )
        join = sql.SQL("join unnest({}) as wanted ({}) on {}").format(
            sql.SQL(", ").join(lists),
            sql.SQL(", ").join(sql.Identifier(f"k{n}") for n in range(len(lists))),
            sql.SQL(" and ").join(conditions),
        )
        yield from self._copy(relation, columns, outside, join)

    def _copy(
        self,
        relation: Relation,
        columns: Mapping[str, tuple[str, pa.DataType]],
        outside: sql.Composable,
        rest: sql.Composable,
    ) -> Generator[pa.Table]:
        name = self._name(relation)
        fields = [sql.Identifier("t", field) for field, _ in columns.values()]
        with self._connection.cursor() as cursor:
            cursor.execute(
                sql.SQL("select {} from {} as t limit 0").format(sql.SQL(", ").join(fields), name)
            )
            oids = [column.type_code for column in cursor.description]
            selected, parsed, schema = [], {}, {}
            for field, oid, (column, (_, type_)) in zip(fields, oids, columns.items(), strict=True):
                schema[column] = parsed[column] = type_
                if pa.types.is_binary(type_):
                    field = sql.SQL("encode({}, 'hex')").format(field)
                    parsed[column] = pa.string()
                elif pa.types.is_string(type_) and oid not in _TEXT:
                    field = sql.SQL("{}::text").format(field)
                elif pa.types.is_timestamp(type_) and oid == _TIMESTAMP:
                    parsed[column] = pa.timestamp("us")
                selected.append(field)
            schema["outside"] = parsed["outside"] = pa.bool_()
            statement = sql.SQL(
                "copy (select {}, {} from {} as t {}) to stdout (format csv)"
            ).format(sql.SQL(", ").join(selected), outside, name, rest)
            text = statement.as_bytes(self._connection)
        with closing(_blocks(self._connection.pgconn, text)) as blocks:
            for block in blocks:
                yield _parse(block, parsed, pa.schema(schema))

    def _name(self, relation: Relation) -> sql.Identifier:
        return sql.Identifier(relation.schema, relation.name)


def _blocks(connection: PGconn, statement: bytes) -> Generator[bytes]:
    """The output of a COPY, in blocks of whole rows.

    It is taken from libpq, which hands it out row by row: psycopg's own loop doubles the time.
    """
    result = connection.exec_(statement)
    if result.status != ExecStatus.COPY_OUT:
        raise error_from_result(result)
    rows: list = []
    size = 0
    try:
        while (received := connection.get_copy_data(0))[0] > 0:
            length, row = received
            rows.append(row)
            size += length
            if size >= BLOCK_BYTES:
                yield b"".join(rows)
                rows, size = [], 0
    except GeneratorExit:
        connection.get_cancel().cancel()
        while connection.get_copy_data(0)[0] > 0:
            pass
        raise
    finally:
        while result := connection.get_result():
            last = result
    if last.status != ExecStatus.COMMAND_OK:
        raise error_from_result(last)
    if rows:
        yield b"".join(rows)


def _parse(block: bytes, types: Mapping[str, pa.DataType], schema: pa.Schema) -> pa.Table:
    try:
        table = pyarrow.csv.read_csv(
            pa.BufferReader(block),
            read_options=pyarrow.csv.ReadOptions(column_names=list(types)),
            parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict(types),
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
                true_values=["t"],
                false_values=["f"],
            ),
        )
    except pa.ArrowInvalid as error:
        raise SourceError(f"a key or replication value does not fit: {one_line(error)}") from None
    arrays = []
    for column, field in zip(table.columns, schema, strict=True):
        if pa.types.is_binary(field.type):
            values = (None if v is None else bytes.fromhex(v) for v in column.to_pylist())
            column = pa.chunked_array([pa.array(values, field.type)])
        arrays.append(column.cast(field.type))
    return pa.table(arrays, schema=schema)


def one_line(error: Exception) -> str:
    """What an error says; of a server's error, without the statement."""
    primary = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    return " ".join((primary or str(error)).split())

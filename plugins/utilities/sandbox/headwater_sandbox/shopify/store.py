"""The shop's documents in one SQLite file, paged by index."""

import base64
import contextlib
import re
import sqlite3
from collections.abc import Container, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import msgspec

# A document is the GraphQL object as JSON; `kind` is its type. Times: 2026-06-30T12:34:56Z.
TABLES = """
create table if not exists documents (
    kind text not null,
    number integer not null,
    created_at text not null,
    updated_at text not null,
    document text not null,
    primary key (kind, number)
);
create index if not exists documents_updated_at on documents (kind, updated_at, number);
create index if not exists documents_created_at on documents (kind, created_at, number);
create table if not exists clock (seed integer not null, scale real not null, day text not null);
"""
KINDS = ("Order", "Customer", "Product", "ProductVariant")
# Processing time has no index of its own: it is the time of creation but for imported orders.
SORT_COLUMNS = {
    "ID": "number",
    "CREATED_AT": "created_at",
    "PROCESSED_AT": "created_at",
    "UPDATED_AT": "updated_at",
}
FILTER_COLUMNS = {"id": "number", "created_at": "created_at", "updated_at": "updated_at"}
TERM = re.compile(
    r"(?P<field>\w+):(?P<operator>>=|<=|>|<|)"
    r"(?:'(?P<single>[^']*)'|\"(?P<double>[^\"]*)\"|(?P<bare>[^\s'\"()]+))"
)


PAGE = 500


class SearchError(Exception):
    """A search, sort key or cursor that the stand-in does not know."""


class Term(NamedTuple):
    column: str
    operator: str  # of SQL
    value: str | int


class Row(NamedTuple):
    cursor: str
    document: dict


def connect(path: Path) -> sqlite3.Connection:
    """The file to write to, with its tables; made if missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=30)
    connection.execute("pragma journal_mode = wal")
    connection.execute("pragma synchronous = normal")
    connection.executescript(TABLES)
    return connection


@contextlib.contextmanager
def reading(path: Path) -> Iterator["Reader"]:
    """The documents as they are now, whatever a tick writes meanwhile."""
    with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        connection.execute("begin")
        yield Reader(connection)


def read_clock(connection: sqlite3.Connection) -> tuple[int, float, str] | None:
    """The seed, the scale and the last day of the documents; None: there are none."""
    return connection.execute("select seed, scale, day from clock").fetchone()


def counts(connection: sqlite3.Connection) -> dict[str, int]:
    """How many documents there are of each kind."""
    return dict(connection.execute("select kind, count(*) from documents group by kind"))


class Reader:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._seen: dict[str, dict | None] = {}

    @property
    def day(self) -> str:
        """The last day that the documents tell of."""
        clock = read_clock(self._connection)
        return clock[2] if clock else f"{date.today()}"

    def document(self, gid: str) -> dict | None:
        """The document of a gid://shopify/KIND/NUMBER; None if there is none."""
        if gid not in self._seen:
            kind, _, number = gid.removeprefix("gid://shopify/").partition("/")
            row = self._connection.execute(
                "select document from documents where kind = ? and number = ?", (kind, number)
            ).fetchone()
            self._seen[gid] = row and msgspec.json.decode(row[0])
        return self._seen[gid]

    def page(
        self,
        kind: str,
        terms: list[Term],
        sort_key: str,
        reverse: bool,
        after: str | None,
        limit: int,
    ) -> list[Row]:
        """At most `limit` documents behind the cursor `after`.

        Raises:
            SearchError: the sort key or the cursor is unknown.
        """
        if not (column := SORT_COLUMNS.get(sort_key)):
            raise SearchError(f"the stand-in sorts by {', '.join(SORT_COLUMNS)}, not by {sort_key}")
        direction, beyond = ("desc", "<") if reverse else ("asc", ">")
        # Of two bounds SQLite goes by one: behind a cursor it must be the cursor.
        passed = ("<" if reverse else ">") if after else "none"
        by_index = [one for one in terms if one.column == column and passed not in one.operator]
        conditions, values = _conditions(kind, terms, by_index)
        if after:
            last_value, last_number = _decode(after)
            if column == "number":
                conditions.append(f"number {beyond} ?")
                values.append(last_number)
            else:
                conditions.append(f"({column}, number) {beyond} (?, ?)")
                values += [last_value, last_number]
        order = dict.fromkeys([f"{column} {direction}", f"number {direction}"])
        rows = self._connection.execute(
            f"select {column}, number, document from documents where {' and '.join(conditions)}"
            f" order by {', '.join(order)} limit ?",
            (*values, limit),
        )
        return [
            Row(_encode(value, number), msgspec.json.decode(document))
            for value, number, document in rows
        ]

    def pages(
        self, kind: str, terms: list[Term], sort_key: str, reverse: bool
    ) -> Iterator[list[Row]]:
        """All documents, some hundreds at a time."""
        after = None
        while rows := self.page(kind, terms, sort_key, reverse, after, PAGE):
            yield rows
            after = rows[-1].cursor

    def count(self, kind: str, terms: list[Term], limit: int | None) -> int:
        """How many documents there are; counting stops at `limit`."""
        conditions, values = _conditions(kind, terms, by_index=terms)
        (count,) = self._connection.execute(
            f"select count(*) from (select 1 from documents where {' and '.join(conditions)}"
            f" limit ?)",
            (*values, -1 if limit is None else limit),
        ).fetchone()
        return count


def parse_search(text: str | None) -> list[Term]:
    """Terms of Shopify's search syntax: `updated_at:>='2026-01-01 00:00:00+00:00' AND id:7`.

    Raises:
        SearchError: it asks for more than id, created_at and updated_at, joined by AND.
    """
    terms, rest = [], (text or "").strip()
    while rest:
        found = TERM.match(rest)
        column = found and FILTER_COLUMNS.get(found["field"])
        if not column:
            raise SearchError(
                f"the stand-in searches by {', '.join(FILTER_COLUMNS)}, joined by AND: {text}"
            )
        value = found["single"] or found["double"] or found["bare"] or ""
        terms.append(_number(found, value) if column == "number" else _time(found, value))
        rest = re.sub(r"^\s+(AND\s+)?", "", rest[found.end() :])
    return terms


def _number(found: re.Match, value: str) -> Term:
    try:
        return Term("number", found["operator"] or "=", int(value.rpartition("/")[2]))
    except ValueError:
        raise SearchError(f"not an id: {value}") from None


def _time(found: re.Match, value: str) -> Term:
    column, operator = FILTER_COLUMNS[found["field"]], found["operator"]
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        raise SearchError(f"not a time: {value}") from None
    if not operator:
        raise SearchError(f"{column} needs one of >=, >, <=, <")
    time = (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    # Documents have whole seconds: a bound between two of them is moved to one.
    if time.microsecond and operator in (">=", "<"):
        time += timedelta(seconds=1)
    return Term(column, operator, f"{time:%Y-%m-%dT%H:%M:%SZ}")


def _conditions(kind: str, terms: list[Term], by_index: Container[Term]) -> tuple[list[str], list]:
    """SQL conditions; a plus keeps SQLite from taking another index than the order's, or bound."""
    conditions = ["kind = ?"]
    for term in terms:
        plus = "" if term in by_index else "+"
        conditions.append(f"{plus}{term.column} {term.operator} ?")
    return conditions, [kind, *(term.value for term in terms)]


def _encode(value: str | int, number: int) -> str:
    last = {"last_id": number, "last_value": value}
    return base64.urlsafe_b64encode(msgspec.json.encode(last)).decode()


def _decode(cursor: str) -> tuple[str | int, int]:
    try:
        last = msgspec.json.decode(base64.urlsafe_b64decode(cursor))
        return last["last_value"], last["last_id"]
    except (ValueError, KeyError, TypeError, msgspec.DecodeError):
        raise SearchError(f"not a cursor: {cursor}") from None

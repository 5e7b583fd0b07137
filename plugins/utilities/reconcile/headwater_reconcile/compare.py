"""Source against warehouse, stream by stream: what is lost, deleted, later."""

import datetime as dt
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import closing

import pyarrow as pa
from headwater_target_warehouse.schema import column_name
from headwater_target_warehouse.warehouse import AUDIT_SCHEMA, AUDIT_TABLES, Warehouse

from headwater_reconcile import windows
from headwater_reconcile.shopify import STREAMS, Shop
from headwater_reconcile.source import Bookmark, Relation, Source, SourceError
from headwater_reconcile.streams import SHOWN_KEYS, Mode, Result, Stream, known_streams, mode_of
from headwater_reconcile.warehouse import loader

STAGED = "reconcile_keys"
# Keys that a window's read did not meet are looked up at the source in portions of this size.
LOOKUP_ROWS = 10_000
_MARKERS = (
    "progress_markers",
    "starting_replication_value",
    "replication_key_signpost",
)


def reconcile(
    warehouse: Warehouse,
    source: Source | None,
    shop: Shop,
    bookmarks: Mapping[str, Mapping],
    modes: Mapping[str, Mode],
    *,
    start_date: str | None,
    shop_start_date: str,
    run_id: str | None,
    on_stream: Callable[[str], None] = lambda stream: None,
) -> list[Result]:
    """Reconcile every stream of the sources, mark deleted rows, and note the results.

    `source`: None if nothing of Postgres was ever loaded. `bookmarks`: those of the Singer states.
    `start_date`, `shop_start_date`: rows with older replication values, which the taps do not
    read, are not looked at. A stream that neither a state nor a source knows is another source's,
    and left out.

    Raises:
        SourceError, LoadError: nothing can be read or written any more.
    """

    def compare(stream: Stream, mode: Mode) -> Result | None:
        state = bookmarks.get(stream.name)
        if stream.name in STREAMS:
            if mode.name == "off":
                return Result(stream.name, mode)
            return windows.Comparison(warehouse, shop, stream, mode, state, shop_start_date).run()
        with source.snapshot():
            relation = source.relation(stream.name)
            if relation is None and state is None:
                return None
            if mode.name == "off":
                return Result(stream.name, mode)
            return _Comparison(warehouse, source, stream, mode, state, relation, start_date).run()

    warehouse.create_audit_tables()
    streams, newest = known_streams(warehouse)
    results = []
    # What belongs to an order goes with it: orders first.
    for stream in sorted(streams, key=lambda s: s.name in STREAMS and bool(STREAMS[s.name].list_)):
        on_stream(stream.name)
        mode = mode_of(stream.name, modes)
        started = time.monotonic()
        try:
            result = compare(stream, mode)
        except SourceError as error:
            result = Result(stream.name, mode, problem=str(error))
        if result is None:
            continue
        result.seconds = time.monotonic() - started
        result.note = shop.note if stream.name in STREAMS else None
        results.append(result)
    for name in sorted(bookmarks.keys() - {stream.name for stream in streams}):
        mode = mode_of(name, modes)
        remedy = windows.reread(name) if name in STREAMS else reread(name)
        problem = f"the state has read it, but the warehouse has not seen it; {remedy}"
        results.append(Result(name, mode, problem=None if mode.name == "off" else problem))
    _note(warehouse, results, run_id or newest)
    return results


def reread(stream: str) -> str:
    """What to do to have all rows of a stream again."""
    return (
        f"read it again: TAP_POSTGRES__SELECT_FILTER='[\"{stream}\"]' "
        f"meltano run --full-refresh tap-postgres {loader()}"
    )


class _Comparison:
    def __init__(
        self,
        warehouse: Warehouse,
        source: Source,
        stream: Stream,
        mode: Mode,
        state: Mapping | None,
        relation: Relation | None,
        start_date: str | None,
    ) -> None:
        """Raises SourceError if it is known already that they cannot be compared."""
        self.warehouse, self.source, self.stream = warehouse, source, stream
        if relation is None:
            raise SourceError(
                "the source has no such table any more; to keep its rows and not be told again, "
                f'set it to off: RECONCILE_MODES=\'{{"{stream.name}": "off"}}\''
            )
        if state is None:
            raise SourceError(f"the state has no bookmark of it; {reread(stream.name)}")
        if not state.get("snapshot") and any(marker in state for marker in _MARKERS):
            raise SourceError("its first read has not been completed; run the load again")
        value = state.get("replication_key_value")
        self.relation = relation
        self.bookmark = Bookmark(None if value is None else str(value), state.get("snapshot"))
        self.result = Result(stream.name, mode, bookmark=self.bookmark.value)
        self.ref = warehouse.quote(stream.schema, stream.table)
        self.staged = warehouse.quote(AUDIT_SCHEMA, STAGED)
        # Name in the staged table: name at the source.
        self.fields = {f"k{n}": key for n, key in enumerate(stream.keys)}
        if stream.replication_key:
            self.fields["v"] = stream.replication_key
            if self.bookmark == Bookmark(None, None):
                raise SourceError(f"the state has no bookmark of it; {reread(stream.name)}")
        self.keys = [name for name in self.fields if name != "v"]
        self.columns = {
            name: warehouse.quote(column_name(field)) for name, field in self.fields.items()
        }
        held = warehouse.columns(stream.schema, stream.table)
        if not held:
            raise SourceError(
                f"the warehouse has no table {stream.schema}.{stream.table}; {reread(stream.name)}"
            )
        self.types = {
            name: held.get(column_name(field).lower(), pa.string())
            for name, field in self.fields.items()
        }
        self.start_date, self.start = start_date, None

    def run(self) -> Result:
        outside = self.source.outside(self.relation, self.stream.replication_key, self.bookmark)
        # Text of JSON is not one and the same at both sides.
        if not self.keys or pa.json_() in self.types.values():
            self._count(outside)
        else:
            if key := self.stream.replication_key:
                self.start = self.source.start(
                    self.source.types(self.relation).get(key, "missing"),
                    self.result.mode.days,
                    self.bookmark.value,
                    self.start_date,
                )
            try:
                self._stage(outside)
                self._compare()
            finally:
                self.warehouse.execute(f"drop table if exists {self.staged}")
        if self.result.lost:
            self.result.problem = f"{self.result.problem}; {reread(self.stream.name)}"
        return self.result

    def _count(self, outside) -> None:
        """Without keys, only numbers can be compared: fewer rows than were read are a loss."""
        total, later = self.source.count(self.relation, outside)
        held = self.warehouse.query(
            f"select count(*) as n from {self.ref} where _sdc_deleted_at is null"
        )["n"][0].as_py()
        result = self.result
        result.source_rows, result.warehouse_rows, result.deleted = total, held, 0
        result.lost = max(0, total - later - held)
        result.later = max(0, total - held) - result.lost
        result.problem = f"{result.lost:,} lost" if result.lost else None

    def _stage(self, outside) -> None:
        self.warehouse.execute(f"drop table if exists {self.staged}")
        self.warehouse.create(AUDIT_SCHEMA, STAGED, {**self.types, "outside": pa.bool_()})
        columns = {name: (field, self.types[name]) for name, field in self.fields.items()}
        since = (self.stream.replication_key, self.start) if self.start else None
        self._append(self.source.rows(self.relation, columns, outside, since))
        if not self.start:
            return
        # A value may have moved back, out of the window: the row is there all the same.
        unmet = self.warehouse.query(
            f"select {', '.join(self.keys)} from ({self._compared()}) as c where status = 'deleted'"
        )
        for offset in range(0, unmet.num_rows, LOOKUP_ROWS):
            portion = unmet.slice(offset, LOOKUP_ROWS)
            keys = {self.fields[key]: portion[key].to_pylist() for key in self.keys}
            self._append(self.source.rows_by_key(self.relation, columns, outside, keys))

    def _append(self, blocks: Generator[pa.Table]) -> None:
        with closing(blocks):
            for block in blocks:
                self.warehouse.append(AUDIT_SCHEMA, STAGED, block)

    def _compared(self) -> str:
        """One row per key at either side, with its status; `held`: the warehouse has it."""
        selected = ", ".join(f"{column} as {name}" for name, column in self.columns.items())
        same_value = "s.v is not distinct from t.v" if "v" in self.columns else "true"
        before = f"t.v < {self._start()}" if self.start else "false"
        return (
            f"select {', '.join(f'coalesce(s.{k}, t.{k}) as {k}' for k in self.keys)}, t.held, "
            f"case when s.outside is null and {before} then 'before' "
            "when s.outside is null then 'deleted' "
            f"when t.held and {same_value} then 'same' "
            "when s.outside then 'later' else 'lost' end as status "
            f"from {self.staged} as s full outer join "
            f"(select {selected}, true as held from {self.ref} where _sdc_deleted_at is null) as t "
            f"on {' and '.join(f's.{k} = t.{k}' for k in self.keys)}"
        )

    def _start(self) -> str:
        return f"cast('{self.start}' as {self.warehouse.type_name(self.types['v'])})"

    def _compare(self) -> None:
        rows = self.warehouse.query(
            f"select status, count(*) as n, count(held) as held from ({self._compared()}) as c "
            "group by status"
        ).to_pylist()
        count = {row["status"]: row["n"] for row in rows}
        result = self.result
        result.later, result.lost = count.get("later", 0), count.get("lost", 0)
        result.source_rows = count.get("same", 0) + result.later + result.lost
        result.warehouse_rows = sum(
            row["held"] for row in rows if row["status"] not in ("deleted", "before")
        )
        result.deleted = self._mark_deleted() if count.get("deleted") else 0
        if result.lost:
            result.problem = f"{result.lost:,} lost: {self._lost_keys()}"

    def _mark_deleted(self) -> int:
        now = dt.datetime.now(dt.UTC).replace(tzinfo=None).isoformat(" ")
        since = f"and t.{self.columns['v']} >= {self._start()} " if self.start else ""
        same = " and ".join(f"s.{k} = t.{self.columns[k]}" for k in self.keys)
        return self.warehouse.execute(
            f"update {self.ref} as t set _sdc_deleted_at = cast('{now}' as timestamp) "
            f"where t._sdc_deleted_at is null {since}"
            f"and not exists (select 1 from {self.staged} as s where {same})"
        )

    def _lost_keys(self) -> str:
        keys = ", ".join(self.keys)
        rows = self.warehouse.query(
            f"select {keys} from ({self._compared()}) as c where status = 'lost' "
            f"order by {keys} limit {SHOWN_KEYS}"
        ).to_pylist()
        many = len(self.keys) > 1
        shown = [", ".join(map(str, row.values())) for row in rows]
        names = ", ".join(self.stream.keys)
        more = ", …" if self.result.lost > SHOWN_KEYS else ""
        return (
            (f"({names}) = " if many else f"{names} = ")
            + ", ".join(f"({key})" if many else key for key in shown)
            + more
        )


def _note(warehouse: Warehouse, results: list[Result], run_id: str | None) -> None:
    now = dt.datetime.now(dt.UTC)
    rows = [
        {
            "run_id": run_id,
            "stream": result.stream,
            "mode": str(result.mode),
            "source_rows": result.source_rows,
            "warehouse_rows": result.warehouse_rows,
            "deleted": result.deleted,
            "later": result.later,
            "lost": result.lost,
            "seconds": result.seconds,
            "bookmark": result.bookmark,
            "note": result.note,
            "reconciled_at": now,
        }
        for result in results
    ]
    if rows:
        schema = pa.schema(AUDIT_TABLES["reconciliations"])
        warehouse.append(AUDIT_SCHEMA, "reconciliations", pa.Table.from_pylist(rows, schema=schema))

"""A Shopify stream against its table: by counts, and by id where they differ."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from headwater_target_warehouse.warehouse import Warehouse

from headwater_reconcile.shopify import STREAMS, Shop, Window, iso, parsed
from headwater_reconcile.source import SourceError
from headwater_reconcile.streams import SHOWN_KEYS, Mode, Result, Stream
from headwater_reconcile.warehouse import loader

Times = dict[str, dt.datetime]
# An order's own time may be a little behind that of its transactions and refunds.
SLACK = dt.timedelta(hours=1)
# Ids that one statement names.
PORTION = 5_000
# A stream of no more rows than this is compared id by id.
LISTED_ROWS = 10_000


def reread(stream: str, since: str = "") -> str:
    """What to do to have a stream's rows again; the state of the other runs is left alone."""
    start = f"TAP_SHOPIFY_START_DATE={since} " if since else ""
    return (
        f"read it again: {start}TAP_SHOPIFY__SELECT_FILTER='[\"{stream}\"]' meltano run "
        f"--full-refresh --state-id-suffix=repair tap-shopify lines-to-orders {loader()}"
    )


class Comparison:
    """One stream. All times are the shop's own: no clock of ours is looked at."""

    def __init__(
        self,
        warehouse: Warehouse,
        shop: Shop,
        stream: Stream,
        mode: Mode,
        state: Mapping | None,
        start_date: str,
    ) -> None:
        """Raises SourceError if it is known already that they cannot be compared."""
        self.warehouse, self.shop, self.stream = warehouse, shop, stream
        self.kind = STREAMS[stream.name]
        if not (state and state.get(self.kind.time)):
            raise SourceError(f"the state has no bookmark of it; {reread(stream.name)}")
        if not warehouse.columns(stream.schema, stream.table):
            raise SourceError(
                f"the warehouse has no table {stream.schema}.{stream.table}; {reread(stream.name)}"
            )
        shop.allow(self.kind.scopes)
        self.bookmark = parsed(state[self.kind.time])
        self.start = parsed(start_date)
        if mode.days:
            self.start = max(self.start, self.bookmark - dt.timedelta(days=mode.days))
        self.result = Result(stream.name, mode, bookmark=iso(self.bookmark))
        self.ref = warehouse.quote(stream.schema, stream.table)
        self.time = warehouse.quote(self.kind.time)

    def run(self) -> Result:
        result = self.result
        result.deleted = 0
        if self.kind.list_:
            result.deleted = self._mark_children()
            theirs = self.shop.rows(self.kind, Window(self.start - SLACK))
            theirs = {id_: time for id_, time in theirs.items() if time >= self.start}
            result.source_rows = len(theirs)
            ours = self._held(Window(self.start))
            doubtful = {id_ for id_, time in theirs.items() if ours.get(id_) != time}
            found = {id_: theirs[id_] for id_ in doubtful}
        else:
            doubtful = self._doubtful()
            found = self.shop.times(self.kind, sorted(doubtful))
            ours = self._held_of(doubtful)
        gone = sorted(ours.keys() & doubtful - found.keys())
        result.deleted += self._mark(gone)
        other = {id_: time for id_, time in found.items() if ours.get(id_) != time}
        # The last read ends at the bookmark; what has the bookmark's own second may have come after
        # it. But each read brings at least the rows of its bookmark: one that brought none failed.
        lost = other
        if not self._has_read_nothing():
            lost = {id_: time for id_, time in other.items() if time < self.bookmark}
        result.lost, result.later = len(lost), len(other) - len(lost)
        result.warehouse_rows = sum(n for _, n in self._months(Window(self.start)))
        if lost:
            result.problem = self._problem(lost)
        return result

    def _doubtful(self) -> set[str]:
        """The ids of which the two sides may say different things; counts the source's rows."""
        tail = self.shop.rows(self.kind, Window(self.bookmark))
        held = self._held_of(tail) | self._held(Window(self.bookmark))
        doubtful = dict(tail.items() ^ held.items()).keys()
        if self.start >= self.bookmark:
            self.result.source_rows = len(tail)
            return doubtful
        months = dict(self._months(Window(self.start, self.bookmark)))
        # What has moved on at the shop is no more in the window where the warehouse has it.
        for time in held.values():
            if self.start <= time < self.bookmark:
                months[time.year, time.month] -= 1
        firsts = [dt.datetime(year, month, 1, tzinfo=dt.UTC) for year, month in sorted(months)[1:]]
        last = dt.datetime(self.bookmark.year, self.bookmark.month, 1, tzinfo=dt.UTC)
        edges = sorted({self.start, *(at for at in (*firsts, last) if at > self.start)})
        windows = [Window(*pair) for pair in pairwise([*edges, self.bookmark]) if pair[0] < pair[1]]
        counts = self.shop.counts(self.kind, windows)
        self.result.source_rows = len(tail) + sum(counts)
        for window, count in zip(windows, counts, strict=True):
            ours = sum(
                n
                for (year, month), n in months.items()
                if window.start
                <= max(dt.datetime(year, month, 1, tzinfo=dt.UTC), self.start)
                < window.end
            )
            # A loss and a deletion may cancel out in a count. So all windows are looked into while
            # that is cheap, and later the newest ones: there is what the last reads brought.
            if ours != count or sum(counts) <= LISTED_ROWS or window in windows[-2:]:
                theirs, here = self.shop.rows(self.kind, window), self._held(window)
                doubtful |= dict(theirs.items() ^ here.items()).keys() - tail.keys()
        return doubtful

    def _has_read_nothing(self) -> bool:
        """Whether the newest run that loaded the stream brought no row of it."""
        loads = self.warehouse.quote("_headwater", "loads")
        name = self.warehouse.literal(self.stream.name)
        (row,) = self.warehouse.query(
            f"with mine as (select * from {loads} where stream = {name}), "
            "newest as (select coalesce(run_id, '') as run_id from mine "
            "order by loaded_at desc limit 1) "
            "select sum(rows_received) as n from mine "
            "inner join newest on coalesce(mine.run_id, '') = newest.run_id"
        ).to_pylist()
        return row["n"] == 0

    def _problem(self, lost: Times) -> str:
        times = sorted(lost.values())
        ids = sorted(lost, key=lambda id_: (lost[id_], id_))[:SHOWN_KEYS]
        shown = ", ".join(id_.rpartition("/")[2] for id_ in ids)
        more = ", …" if len(lost) > SHOWN_KEYS else ""
        when = f"{times[0]:%Y-%m-%d} to {times[-1]:%Y-%m-%d}"
        return (
            f"{len(lost):,} lost, of {when}: id = {shown}{more}; "
            f"{reread(self.stream.name, iso(times[0]))}"
        )

    # The warehouse's side: live rows.

    def _where(self, window: Window) -> str:
        conditions = ["_sdc_deleted_at is null", f"{self.time} >= {_literal(window.start)}"]
        if window.end:
            conditions.append(f"{self.time} < {_literal(window.end)}")
        return " and ".join(conditions)

    def _held(self, window: Window) -> Times:
        return self._times(self._where(window))

    def _held_of(self, ids: Iterable[str]) -> Times:
        found: Times = {}
        for portion in _portions(ids):
            found |= self._times(f"_sdc_deleted_at is null and id in ({self._listed(portion)})")
        return found

    def _times(self, where: str) -> Times:
        rows = self.warehouse.query(
            f"select id, {self.time} as changed_at from {self.ref} where {where}"
        )
        return {
            id_: at if at.tzinfo else at.replace(tzinfo=dt.UTC)
            for id_, at in zip(rows["id"].to_pylist(), rows["changed_at"].to_pylist(), strict=True)
        }

    def _months(self, window: Window) -> list[tuple[tuple[int, int], int]]:
        rows = self.warehouse.query(
            f"select extract(year from {self.time}) as y, extract(month from {self.time}) as m, "
            f"count(*) as n from {self.ref} where {self._where(window)} group by y, m"
        ).to_pylist()
        return [((row["y"], row["m"]), row["n"]) for row in rows]

    def _mark(self, ids: Sequence[str]) -> int:
        return sum(self._delete(f"id in ({self._listed(portion)})") for portion in _portions(ids))

    def _mark_children(self) -> int:
        """Mark what belongs to an order that has been deleted."""
        orders = self.warehouse.quote(self.stream.schema, "orders")
        if not self.warehouse.columns(self.stream.schema, "orders"):
            return 0
        # DuckDB leaves the quotes on, BigQuery takes them off.
        parent = f"trim(json_value({self.warehouse.quote('order')}, '$.id'), '\"')"
        return self._delete(
            f"{parent} in (select id from {orders} where _sdc_deleted_at is not null)"
        )

    def _delete(self, condition: str) -> int:
        now = dt.datetime.now(dt.UTC).replace(tzinfo=None).isoformat(" ")
        return self.warehouse.execute(
            f"update {self.ref} set _sdc_deleted_at = cast('{now}' as timestamp) "
            f"where _sdc_deleted_at is null and {condition}"
        )

    def _listed(self, ids: Sequence[str]) -> str:
        return ", ".join(map(self.warehouse.literal, ids))


def _literal(time: dt.datetime) -> str:
    return f"cast('{time:%Y-%m-%d %H:%M:%S}' as timestamp)"


def _portions(ids: Iterable[str]) -> list[list[str]]:
    listed = sorted(ids)
    return [listed[n : n + PORTION] for n in range(0, len(listed), PORTION)]

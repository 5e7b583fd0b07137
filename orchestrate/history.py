"""What Meltano remembers of its syncs: when each ended, and how far its streams came."""

import datetime as dt
import json
import os
from typing import NamedTuple

import sqlalchemy as sa

from .project import ENVIRONMENT, ROOT

SYNCS = """
select job_name, run_id, payload, started_at, ended_at
from runs
where {condition}
order by ended_at
"""
# As taps name the newest value in a stream's bookmark.
VALUES = ("replication_key_value", "updatedAt", "createdAt")


class Sync(NamedTuple):
    """`newest`: by stream in its state, the newest replication value, if it has one."""

    name: str
    run_id: str
    started_at: str
    ended_at: str
    newest: dict[str, str | None]

    def read(self, tap: str) -> set[str]:
        """The streams that were read: those selected in the catalog that Meltano gave to the tap.

        Meltano keeps the newest one, whatever wrote it. If that is another's, all in the state.
        """
        path = ROOT / ".meltano" / "run" / tap / "tap.properties.json"
        if path.exists():
            at = dt.datetime.fromtimestamp(path.stat().st_mtime, dt.UTC).replace(tzinfo=None)
            if self.started_at <= str(at) <= self.ended_at:
                catalog = json.loads(path.read_text())["streams"]
                return {stream["tap_stream_id"] for stream in catalog if stream.get("selected")}
        return {*self.newest}


def sync_name(tap: str, loader: str, suffix: str = "") -> str:
    """What Meltano calls a sync, and its state."""
    return f"{ENVIRONMENT}:{tap}-to-{loader}{suffix}"


def syncs(condition: str, **values: str) -> list[Sync]:
    """The syncs for which an SQL condition holds, in the order in which they ended."""
    path = ROOT / ".meltano" / "meltano.db"
    uri = os.environ.get("MELTANO_DATABASE_URI")
    if not uri and not path.exists():
        return []
    engine = sa.create_engine(uri or f"sqlite:///file:{path}?mode=ro&uri=true")
    with engine.connect() as connection:
        query = sa.text(SYNCS.format(condition=condition))
        runs = connection.execute(query, values).all()
    engine.dispose()
    return [
        Sync(
            run.job_name,
            *map(str, (run.run_id, run.started_at, run.ended_at)),
            _newest(run.payload),
        )
        for run in runs
    ]


def newest_values(name: str) -> dict[str, str | None]:
    """How far each stream came in the newest sync of this name."""
    newest = syncs("id = (select max(id) from runs where job_name = :name)", name=name)
    return newest[0].newest if newest else {}


def _newest(payload: str | None) -> dict[str, str | None]:
    bookmarks = json.loads(payload or "{}").get("singer_state", {}).get("bookmarks", {})
    return {
        stream: next((bookmark[name] for name in VALUES if name in bookmark), None)
        for stream, bookmark in bookmarks.items()
    }

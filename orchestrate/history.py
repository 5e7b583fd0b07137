"""What Meltano remembers of its syncs: when each ended, and how far its streams came."""

import json
import os
from typing import NamedTuple

import sqlalchemy as sa

from .project import ENVIRONMENT, ROOT

SYNCS = """
select job_name, run_id, payload, ended_at
from runs
where {condition}
order by ended_at
"""
# As taps name the newest value in a stream's bookmark.
VALUES = ("replication_key_value", "updatedAt", "createdAt")


class Sync(NamedTuple):
    """`newest`: by stream that was read, its newest replication value, if it has one."""

    name: str
    run_id: str
    ended_at: str
    newest: dict[str, str | None]


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
        Sync(run.job_name, str(run.run_id), str(run.ended_at), _newest(run.payload)) for run in runs
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

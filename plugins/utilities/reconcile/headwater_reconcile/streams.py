"""The streams, how each is compared, and what was found in it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from headwater_target_warehouse.warehouse import AUDIT_SCHEMA, Warehouse

SHOWN_KEYS = 5


@dataclass(frozen=True)
class Mode:
    """`exact`, `off`, or `window` with its days."""

    name: str = "exact"
    days: int = 0

    def __str__(self) -> str:
        return f"window({self.days})" if self.days else self.name


@dataclass(frozen=True)
class Stream:
    """A stream as the warehouse knows it; `keys` and `replication_key` are the source's names."""

    name: str
    schema: str
    table: str
    keys: tuple[str, ...]
    replication_key: str | None


@dataclass
class Result:
    """What was found in one stream; counts are rows, None where it could not be reconciled."""

    stream: str
    mode: Mode
    source_rows: int | None = None
    warehouse_rows: int | None = None
    deleted: int | None = None
    later: int | None = None
    lost: int | None = None
    seconds: float = 0.0
    bookmark: str | None = None
    problem: str | None = None
    note: str | None = None


def parse_modes(text: str) -> dict[str, Mode]:
    """Modes by pattern, from JSON such as {"rainbow-*": "off", "*": {"window": 7}}.

    Raises:
        ValueError: says what is wrong.
    """
    try:
        given = dict(json.loads(text or "{}").items())
    except (ValueError, AttributeError):
        raise ValueError("is not a JSON object {pattern: mode}") from None
    modes = {}
    for pattern, mode in given.items():
        match mode:
            case "exact" | "off":
                modes[pattern] = Mode(mode)
            case {"window": int(days), **rest} if days > 0 and not rest and days is not True:
                modes[pattern] = Mode("window", days)
            case _:
                raise ValueError(
                    f'has {json.dumps(mode)} for {pattern}: it takes "exact", "off" or '
                    '{"window": days}'
                )
    return modes


def mode_of(stream: str, modes: Mapping[str, Mode]) -> Mode:
    """The mode of the first pattern that fits, else exact."""
    return next(
        (mode for pattern, mode in modes.items() if fnmatchcase(stream, pattern)),
        Mode(),
    )


def known_streams(warehouse: Warehouse) -> tuple[list[Stream], str | None]:
    """The streams that were ever loaded, by name, and the run of the newest load."""
    rows = warehouse.query(
        f"select * from {warehouse.quote(AUDIT_SCHEMA, 'streams')} order by seen_at"
    ).to_pylist()
    streams = [
        Stream(
            row["stream"],
            row["table_schema"],
            row["table_name"],
            tuple(json.loads(row["key_properties"] or "[]")),
            row["replication_key"],
        )
        for row in rows
    ]
    return sorted(streams, key=lambda s: s.name), rows[-1]["run_id"] if rows else None

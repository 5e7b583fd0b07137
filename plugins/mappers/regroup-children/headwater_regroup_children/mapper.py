"""A Singer mapper: nested objects go to the record that they belong to.

Shopify's bulk operations write nested objects as lines of their own, each with its parent's id in
`__parentId`. Since API version 2026-01 they need not follow their parent at once; tap-shopify takes
it that they do, and gives them to the record it has seen last. Here they are moved.

Records wait until the STATE behind them: by then all that belongs to them has come. No value is
decoded on the way, and each record leaves as it would have come with its own, byte for byte: else
the loader would take one that has come both ways for changed.
"""

import argparse
import json
import sqlite3
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec

# What waits is kept in memory up to this size, and beyond it in a file.
CACHE_KIB = 64 << 10
SHOWN_PARENTS = 5


class MapError(Exception):
    """The input cannot be mapped; the message is one line that says what to do."""


class Config(msgspec.Struct):
    """`children`: by stream, the fields that hold nested objects."""

    children: dict[str, list[str]]


class Message(msgspec.Struct, gc=False):
    type: str
    stream: str | None = None
    record: msgspec.Raw = msgspec.Raw()


class Child(msgspec.Struct, gc=False):
    parent: str = msgspec.field(name="__parentId")


_as_message = msgspec.json.Decoder(Message).decode
_as_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_as_children = msgspec.json.Decoder(list[msgspec.Raw] | None).decode
_as_child = msgspec.json.Decoder(Child).decode
_as_text = msgspec.json.Decoder(str).decode


def regroup(lines: Iterable[bytes], out: BinaryIO, children: Mapping[str, Sequence[str]]) -> int:
    """Write the messages in the order they came, the streams' records each with its children.

    `children`: by stream, the fields that hold nested objects.

    Returns how many records were not written, because the input ended before the STATE that says
    that they are complete: the next run reads them again.

    Raises:
        MapError: a line that is no Singer message, or a child that has no place to go to.
    """
    window = None
    for number, line in enumerate(lines, 1):
        try:
            message = _as_message(line)
            fields = children.get(message.stream) if message.type == "RECORD" else None
            if fields is not None:
                window = window or Window()
                window.hold(line, message, fields)
                continue
        except (msgspec.DecodeError, KeyError) as error:
            raise MapError(
                f"line {number} of the input cannot be mapped ({error}); see why the tap wrote it, "
                "then run again"
            ) from None
        if message.type == "RECORD":
            out.write(line)
            continue
        if window:
            out.writelines(window.close())
            window = None
        out.write(line)
        out.flush()
    return window.records if window else 0


class Window:
    """Records that wait, and the children that came with another one than their own."""

    def __init__(self) -> None:
        self.records = 0
        # Without a name it is a file that is gone with its process, written when memory is short.
        self._store = sqlite3.connect("", isolation_level=None)
        self._store.executescript(
            f"""
            pragma cache_size = -{CACHE_KIB};
            pragma journal_mode = off;
            create table records (id text, line blob);
            create table moved (parent text, field text, child blob);
            begin;
            """
        )

    def hold(self, line: bytes, message: Message, fields: Sequence[str]) -> None:
        record = _as_fields(message.record)
        id_ = _as_text(record["id"])
        stays, moves = {}, []
        for field in fields:
            came = _as_children(record.get(field, b"null")) or []
            parents = [_as_child(child).parent for child in came]
            moving = [(p, field, c) for p, c in zip(parents, came, strict=True) if p != id_]
            if moving:
                stays[field] = [c for p, c in zip(parents, came, strict=True) if p == id_]
                moves += moving
        self._store.executemany("insert into moved values (?, ?, ?)", moves)
        held = _replaced(line, stays) if stays else line
        self._store.execute("insert into records values (?, ?)", (id_, held))
        self.records += 1

    def close(self) -> Iterator[bytes]:
        """The records, each with its own children: those that came with it, then the others.

        Raises:
            MapError: a child's parent has not come.
        """
        self._refuse_strays()
        self._store.execute("create index of_parent on moved (parent)")
        children = "select field, child from moved where parent = ? order by rowid"
        for id_, line in self._store.execute("select id, line from records order by rowid"):
            moved = self._store.execute(children, (id_,)).fetchall()
            yield _with_more(line, moved) if moved else line
        self._store.close()

    def _refuse_strays(self) -> None:
        strays = self._store.execute(
            "select parent, count(*) from moved where parent not in (select id from records) "
            "group by parent order by min(rowid)"
        ).fetchall()
        if strays:
            shown = ", ".join(parent for parent, _ in strays[:SHOWN_PARENTS])
            raise MapError(
                f"what {sum(n for _, n in strays)} nested objects belong to has not come: {shown}"
                f"{', …' if len(strays) > SHOWN_PARENTS else ''}; nothing that came with them is "
                "loaded: run again"
            )


def _with_more(line: bytes, moved: Iterable[tuple[str, bytes]]) -> bytes:
    """The RECORD line with these children, by field, behind those that it has."""
    record = _as_fields(_as_message(line).record)
    arrays: dict[str, list[msgspec.Raw]] = {}
    for field, child in moved:
        if field not in arrays:
            arrays[field] = _as_children(record.get(field, b"null")) or []
        arrays[field].append(msgspec.Raw(child))
    return _replaced(line, arrays)


def _replaced(line: bytes, arrays: Mapping[str, list[msgspec.Raw]]) -> bytes:
    """The RECORD line with other arrays in these fields, spaced as Python's json does, and so the
    tap; all other values keep their bytes."""
    message = _as_fields(line)
    texts = {field: b"[%b]" % b", ".join(array) for field, array in arrays.items()}
    record = _object({**_as_fields(message["record"]), **texts})
    return _object({**message, "record": record}) + b"\n"


def _object(fields: Mapping[str, bytes | msgspec.Raw]) -> bytes:
    return b"{%b}" % b", ".join(
        b"%b: %b" % (json.dumps(name).encode(), text) for name, text in fields.items()
    )


def main() -> None:
    """Map standard input to standard output."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--config", type=Path, required=True, help="a JSON file with the settings")
    path = parser.parse_args().config
    out = sys.stdout.buffer
    try:
        config = msgspec.json.decode(path.read_bytes(), type=Config)
        unfinished = regroup(sys.stdin.buffer, out, config.children)
        out.flush()
    except (MapError, msgspec.DecodeError, OSError) as error:
        sys.exit(f"Error: {error}")
    except sqlite3.Error as error:
        sys.exit(f"Error: {error}; make room for temporary files, or set SQLITE_TMPDIR")
    if unfinished:
        # Why the input ended is the tap's to say.
        sys.exit(f"{unfinished} records wait for their STATE and are not passed on")

"""The bookmarks of the last load, from Meltano."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

from headwater_reconcile.warehouse import loader


class StateError(Exception):
    """There is no usable state; the message is one line."""


def read_file(path: Path) -> Mapping[str, Mapping]:
    """The bookmarks by stream, of a state as Meltano or a Singer target writes it.

    Raises:
        StateError: the file cannot be read, or holds no bookmarks.
    """
    try:
        return _bookmarks(path.read_text(), str(path))
    except OSError as error:
        raise StateError(f"the state {path} cannot be read: {error.strerror}") from None


@contextmanager
def ask_meltano(state_id: str, tap: str) -> Iterator[Callable[[], Mapping[str, Mapping]]]:
    """Start asking, which takes seconds; call what is given for the bookmarks by stream.

    `tap`: who is to load where there are none.

    Raises:
        StateError: there is no Meltano, or (when called) it has no such state.
    """
    beside = Path(sys.executable).parent / "meltano"
    program = str(beside) if beside.exists() else shutil.which("meltano")
    if program is None:
        raise StateError("meltano is neither beside this Python nor on PATH: pass --state")
    with subprocess.Popen(
        [program, "state", "get", state_id],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:

        def answer() -> Mapping[str, Mapping]:
            told, errors = process.communicate()
            if process.returncode:
                last = next((x.strip() for x in reversed(errors.splitlines()) if x.strip()), "")
                raise StateError(f"meltano state get {state_id} failed: {last}")
            return _bookmarks(told, state_id, tap)

        try:
            yield answer
        finally:
            process.kill()


def _bookmarks(text: str, name: str, tap: str = "tap-postgres") -> Mapping[str, Mapping]:
    try:
        state = json.loads(text, parse_float=Decimal)
        bookmarks = state.get("singer_state", state).get("bookmarks", {})
        # What tap-shopify is at work on.
        bookmarks.pop("currently_sync_stream", None)
        if not all(isinstance(bookmark, dict) for bookmark in bookmarks.values()):
            raise TypeError
    except (ValueError, AttributeError, TypeError):
        raise StateError(f"the state {name} is not a Singer state") from None
    if not bookmarks:
        raise StateError(
            f"the state {name} has no bookmarks: load first, by meltano run {tap} {loader()}"
        )
    return bookmarks

"""What can be made to go wrong, and when."""

import threading
from dataclasses import asdict, dataclass

# Where: every request is at one of these places.
PLACES = {
    "shop": "GET shop.json, which the tap begins with",
    "token": "the client credentials grant",
    "query": "a GraphQL query that is neither of the next two",
    "submit": "the mutation that starts a bulk operation",
    "poll": "the query that asks how a bulk operation is doing",
    "download": "the bulk operation's output",
}
API = ("shop", "query", "submit", "poll")
# What: the description, and the places where it happens unless told.
KINDS = {
    "throttled": ("THROTTLED, as when the bucket is empty", ("query",)),
    "401": ("the token is refused", API),
    "403": ("forbidden", API),
    "404": ("no such shop", API),
    "429": ("too many requests, with Retry-After (--value SECONDS, default 1)", API),
    "500": ("an internal error", API),
    "503": ("unavailable", API),
    "html": ("a page of HTML with status 200", API),
    "slow": ("an answer that takes --value SECONDS (default 5)", API + ("download",)),
    "truncated": ("an answer cut off half-way", ("download",)),
    "running": ("a bulk operation that is still running", ("poll",)),
    "failed": ("a bulk operation that fails (--value ERROR_CODE)", ("submit",)),
    "expired": ("all tokens end; client credentials get a new one", API),
    "revoked": ("all tokens end, and client credentials are refused", API),
    "missing-scope": ("the app lacks the access scope --value, e.g. read_orders", ("query",)),
    "retired": ("versions from --value on are served, e.g. 2025-07, and none before", API),
}
# These are a state of the shop, not an event.
LASTING = {"missing-scope", "retired"}


@dataclass
class Fault:
    kind: str
    on: list[str]
    root: str | None = None  # only requests for this root field
    after: int = 0  # let so many pass first
    times: int = 1  # happen so often; 0 without end
    value: str | None = None


class Faults:
    """The faults in wait."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[Fault] = []

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._waiting.append(fault)

    def clear(self) -> None:
        with self._lock:
            self._waiting.clear()

    def show(self) -> list[dict]:
        with self._lock:
            return [asdict(fault) for fault in self._waiting]

    def waits(self, kind: str) -> bool:
        with self._lock:
            return any(fault.kind == kind for fault in self._waiting)

    def value(self, kind: str) -> str | None:
        """The value of a lasting fault."""
        with self._lock:
            return next((fault.value for fault in self._waiting if fault.kind == kind), None)

    def take(self, place: str, root: str | None, *kinds: str) -> Fault | None:
        """The first of these kinds that is due for a request at a place; it counts as happened."""
        with self._lock:
            due = None
            for fault in list(self._waiting):
                if fault.kind not in kinds or place not in fault.on:
                    continue
                if fault.root and fault.root != root:
                    continue
                if fault.after:
                    fault.after -= 1
                elif not due:
                    due = fault
                    if fault.times == 1:
                        self._waiting.remove(fault)
                    elif fault.times:
                        fault.times -= 1
            return due

"""What a query costs, and the bucket that it is paid from.

Rates are those of https://shopify.dev/docs/api/usage/limits: points restored per second by plan,
and twenty seconds' worth of them at most. How much a connection's size weighs Shopify does not
publish; here ten nodes are a point, and no query is asked for more than Shopify's limit of one.
"""

import math
import time
from collections.abc import Callable
from typing import Any

from graphql.language import DocumentNode, FieldNode, IntValueNode, VariableNode

PLANS = {"standard": 100, "advanced": 200, "plus": 1000, "enterprise": 2000}
BURST_SECONDS = 20
QUERY_LIMIT = 1000
MUTATION = 10
NODES_PER_POINT = 10
WRAPPERS = {"edges", "node", "nodes", "pageInfo"}


class Bucket:
    def __init__(self, plan: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate = float(PLANS[plan])
        self.size = self.rate * BURST_SECONDS
        self._clock, self._filled_at, self._points = clock, clock(), self.size

    @property
    def available(self) -> float:
        now = self._clock()
        self._points = min(self.size, self._points + (now - self._filled_at) * self.rate)
        self._filled_at = now
        return self._points

    def take(self, points: int) -> bool:
        """Take them, unless there are fewer."""
        if self.available < points:
            return False
        self._points -= points
        return True

    def give_back(self, points: int) -> None:
        self._points = min(self.size, self._points + points)

    def status(self, requested: int, actual: int | None) -> dict[str, Any]:
        """`extensions.cost` of an answer; a throttled one has no actual cost."""
        return {
            "requestedQueryCost": requested,
            "actualQueryCost": actual,
            "throttleStatus": {
                "maximumAvailable": self.size,
                "currentlyAvailable": math.floor(self.available),
                "restoreRate": self.rate,
            },
        }


def requested(query: DocumentNode, variables: dict[str, Any]) -> int:
    """What a query may cost at most, known before it runs."""
    fragments = {one.name.value: one for one in query.definitions if one.kind.startswith("fragm")}

    def of(selection_set) -> float:
        total = 0.0
        for selection in selection_set.selections:
            if not isinstance(selection, FieldNode):
                spread = selection.selection_set if selection.kind == "inline_fragment" else None
                total += of(spread or fragments[selection.name.value].selection_set)
            elif selection.selection_set:
                inner = of(selection.selection_set)
                if selection.name.value in WRAPPERS:
                    total += inner
                elif first := _first(selection, variables):
                    total += 2 + first * (1 + inner) / NODES_PER_POINT
                else:
                    total += 1 + inner
        return total

    operations = [one for one in query.definitions if one.kind == "operation_definition"]
    if any(one.operation.value == "mutation" for one in operations):
        return MUTATION
    return min(QUERY_LIMIT, math.ceil(sum(of(one.selection_set) for one in operations)))


def _first(field: FieldNode, variables: dict[str, Any]) -> int | None:
    for argument in field.arguments:
        if argument.name.value == "first":
            if isinstance(argument.value, IntValueNode):
                return int(argument.value.value)
            if isinstance(argument.value, VariableNode):
                return variables.get(argument.value.name.value)
    return None


def actual(data: Any, requested: int) -> int:
    """What an answer cost: by the objects in it."""
    return min(requested, math.ceil(_objects(data) / NODES_PER_POINT))


def _objects(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + sum(_objects(one) for one in value.values() if isinstance(one, dict | list))
    if isinstance(value, list):
        return sum(_objects(one) for one in value)
    return 0

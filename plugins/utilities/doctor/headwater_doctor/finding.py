"""One thing that was looked at."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """`what` was found; `remedy` says how to get what is missing, and is empty if nothing is."""

    what: str
    remedy: str = ""

    @property
    def ok(self) -> bool:
        return not self.remedy


def required(env: dict[str, str], variables: Iterable[tuple[str, str]]) -> list[Finding]:
    """One finding for each variable; `variables`: name, and what it is. Values are not shown."""
    return [
        Finding(f"{name} is set")
        if env.get(name)
        else Finding(f"{name} is not set", f"put {meaning} into the environment or .env")
        for name, meaning in variables
    ]

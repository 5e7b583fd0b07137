"""Whether each source was loaded in time, as its `freshness` in dbt says; asks no warehouse."""

import datetime as dt
import math
import time
from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg

from .transform import Translator

HOURLY = (
    dg.AutomationCondition.cron_tick_passed("0 * * * *")
    & ~dg.AutomationCondition.any_deps_in_progress()
    & ~dg.AutomationCondition.in_progress()
)


def fresh(manifest: Mapping[str, Any]) -> dg.AssetChecksDefinition:
    """A check for each source with a `freshness`: how long ago it was last loaded, by whomever."""
    translator = Translator()
    declared = {
        translator.get_asset_key(source): source["config"]["freshness"] or {}
        for source in manifest["sources"].values()
    }
    windows = {
        key: [_seconds(how[after]) for after in ("warn_after", "error_after")]
        for key, how in declared.items()
        if any(window.get("count") for window in how.values() if window)
    }

    @dg.multi_asset_check(
        name="freshness",
        specs=[
            dg.AssetCheckSpec(
                "freshness",
                asset=key,
                description=f"Late after {_hours(late)}, wrong after {_hours(wrong)}.",
                automation_condition=HOURLY,
            )
            for key, (late, wrong) in windows.items()
        ],
        can_subset=True,
    )
    def freshness(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        for asked in context.selected_asset_check_keys:
            late, wrong = windows[asked.asset_key]
            loaded = context.instance.get_latest_materialization_event(asked.asset_key)
            at = loaded.timestamp if loaded else 0.0
            age = time.time() - at
            yield dg.AssetCheckResult(
                asset_key=asked.asset_key,
                check_name="freshness",
                passed=age <= late,
                severity=dg.AssetCheckSeverity["ERROR" if age > wrong else "WARN"],
                metadata={"loaded_at": dg.MetadataValue.timestamp(at)} if loaded else {},
            )

    return freshness


def _seconds(window: Mapping[str, Any] | None) -> float:
    """How long a window is; without end where none is declared."""
    if not (window and window["count"]):
        return math.inf
    return dt.timedelta(**{f"{window['period']}s": window["count"]}).total_seconds()


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:g} hours"

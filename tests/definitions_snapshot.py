"""Dagster's definitions as JSON, to see what a change does to the graph. To take a new one:

python tests/definitions_snapshot.py > tests/fixtures/definitions.json
"""

import json
import sys
from pathlib import Path
from typing import Any


def snapshot() -> dict[str, Any]:
    from orchestrate.definitions import defs

    graph = defs.resolve_asset_graph()
    checks: dict[str, list[str]] = {}
    for check in graph.asset_check_keys:
        blocking = graph.get(check).blocking
        checks.setdefault(check.asset_key.to_user_string(), []).append(
            f"{check.name} (blocking)" if blocking else check.name
        )
    assets = {}
    for key in sorted(graph.get_all_asset_keys()):
        node, name = graph.get(key), key.to_user_string()
        assets[name] = {
            "group": node.group_name,
            "kinds": sorted(node.kinds),
            "owners": list(node.owners),
            "deps": sorted(parent.to_user_string() for parent in node.parent_keys),
            "pools": sorted(node.pools or ()),
            "executable": node.is_executable,
            "automated": node.automation_condition is not None,
            "described": bool(node.description),
            "columns": "dagster/column_schema" in node.metadata,
            "checks": sorted(checks.get(name, [])),
        }
    schedules = {s.name: s for s in defs.schedules}
    return {
        "assets": assets,
        "jobs": sorted(job.name for job in defs.jobs),
        "schedules": {
            name: [s.cron_schedule, s.execution_timezone, s.default_status.value]
            for name, s in schedules.items()
        },
        "sensors": {s.name: s.default_status.value for s in defs.sensors},
    }


if __name__ == "__main__":
    sys.path.insert(0, str(Path.cwd()))
    json.dump(snapshot(), sys.stdout, indent=1, sort_keys=True)
    print()

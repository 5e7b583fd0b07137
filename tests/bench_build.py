"""`dbt build`, node by node: `python bench_build.py FILE`, in a project, writes seconds as JSON.

By a node's unique id those it took, one after the other, and under `whole` those of the process.

Raises:
    SystemExit: the build failed.
"""

import json
import sys
import time
from pathlib import Path

import psutil
from dbt.cli.main import dbtRunner
from dbt_common.events.base_types import EventMsg

started: dict[str, float] = {}
seconds: dict[str, float] = {}


def note(event: EventMsg) -> None:
    if event.info.name == "NodeStart":
        started[event.data.node_info.unique_id] = time.perf_counter()
    elif event.info.name == "NodeFinished":
        node = event.data.node_info.unique_id
        seconds[node] = time.perf_counter() - started[node]


if __name__ == "__main__":
    result = dbtRunner(callbacks=[note]).invoke(["build", "--quiet", "--threads", "1"])
    if not result.success:
        sys.exit("dbt build failed")
    seconds["whole"] = time.time() - psutil.Process().create_time()
    Path(sys.argv[1]).write_text(json.dumps(seconds))

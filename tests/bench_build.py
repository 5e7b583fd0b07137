"""`dbt build`, node by node: python bench_build.py FILE, in a project, writes CPU seconds as JSON.

By a node's unique id those it took, all threads of the warehouse included, and under `whole` those
of the process, from its start. CPU seconds, as what else the machine does hardly changes them.

Raises:
    SystemExit: the build failed.
"""

import json
import sys
import time
from pathlib import Path

from dbt.cli.main import dbtRunner
from dbt_common.events.base_types import EventMsg

started: dict[str, float] = {}
seconds: dict[str, float] = {}


def note(event: EventMsg) -> None:
    if event.info.name == "NodeStart":
        started[event.data.node_info.unique_id] = time.process_time()
    elif event.info.name == "NodeFinished":
        node = event.data.node_info.unique_id
        seconds[node] = time.process_time() - started[node]


if __name__ == "__main__":
    result = dbtRunner(callbacks=[note]).invoke(["build", "--quiet", "--threads", "1"])
    if not result.success:
        sys.exit("dbt build failed")
    Path(sys.argv[1]).write_text(json.dumps(seconds | {"whole": time.process_time()}))

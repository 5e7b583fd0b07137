"""`make bench`: measures, side by side in one run; `python tests/bench.py loader` only a part.

loader: each case beside the least that could do the same work, each timed in a process of its own,
which imports first and then reports the seconds of the work and its peak memory; the two sides of a
ratio take turns, and medians are compared. shop: each stream in one run of the tap into the
warehouse, beside what the tap waited for the stand-in. models: dbt in a project of its own at
SCALE=1 and at SCALE=10: first, then after each of three days, whose medians are compared. nights:
the whole job through Dagster beside the same by hand. bulk: tables from Postgres to a DuckDB file,
beside dlt and a bare copy; `--rows` makes it smaller.

Writes output/bench.json, a list of {case, metric, value, unit}.
"""

import argparse
import datetime as dt
import json
import os
import re
import statistics
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

from bench_bulk import ROWS, bulk
from bench_loader import loader, metrics
from dagster_project import Dagster
from headwater_project import Project, project_in
from shop_documents import LOAD, landed, sent

SHOP_SCALE = 10  # 20,000 orders
DAYS = 3
SCALES = (1, 10)
BUILD_LIMIT = 90  # seconds for all models and tests at the first scale
GROWTH_LIMIT = 1.5  # of a build's cost after a day, from one scale to the other
# Which models that does not hold for, and why.
GROWING = {
    "fact_sales": "all lines are held against what was built, or a late change could be missed",
    "fct_orders": "as fact_sales, for all orders",
    "dim_customers": "a person's versions come of all that three snapshots ever saw of them",
}
SHOWN = 5  # of what else grew
LOAD_ALL = (
    *("tap-postgres", "target-duckdb", "tap-shopify", "lines-to-orders", "target-duckdb"),
    "reconcile:check",
)
OUTPUT = Path(__file__).parents[1] / "output" / "bench.json"


def nights(rounds: int = 3, limit: float = 1.3) -> list[dict[str, object]]:
    """The whole job through Dagster beside the same by hand, taking turns: medians of seconds."""
    sides: dict[str, list[float]] = {"nightly": [], "run": []}
    with tempfile.TemporaryDirectory(dir=OUTPUT.parent) as folder:
        for project in project_in(Path(folder), scale=1):
            Dagster(project)
            # Both find the sandbox up, and what dbt has parsed.
            assert project.make("run").code == 0
            assert project.make("nightly").code == 0
            for _ in range(rounds):
                for target, seconds in sides.items():
                    start = time.perf_counter()
                    assert project.make(target).code == 0
                    seconds.append(time.perf_counter() - start)
    ours, theirs = (statistics.median(seconds) for seconds in sides.values())
    print(
        f"{'a night through Dagster':<28}{ours:>8.2f} s{theirs:>9.2f} s{ours / theirs:>8.2f} x"
        f"  (at most {limit} x; beside: by hand)",
        flush=True,
    )
    return metrics("night", ("dagster", ours), ("by_hand", theirs), ours / theirs, limit)


def shop(scale: float = SHOP_SCALE) -> list[dict[str, object]]:
    """The tap's rows per second by stream, and the stand-in's: all rows over all requests.

    Raises:
        AssertionError: the load failed, or not all rows of the shop came through.
    """
    with tempfile.TemporaryDirectory(dir=OUTPUT.parent) as folder:
        for project in project_in(Path(folder)):
            project.open_shop(scale)
            said = project.meltano(*LOAD)
            assert said.code == 0, said.text
            rows = {stream: len(found) for stream, found in landed(project).items()}
            assert rows == {stream: len(found) for stream, found in sent(project).items()}
    starts = re.findall(r"^(\S+)Z .* Syncing stream: (\w+)$", said.text, re.MULTILINE)
    (end,) = re.findall(
        rf"^(\S+)Z .* {starts[0][1]}: {rows[starts[0][1]]}$", said.text, re.MULTILINE
    )
    times = [dt.datetime.fromisoformat(at) for at, _ in [*starts, (end, "")]]
    waited = dict.fromkeys(rows, 0.0)
    for metric in re.findall(r" METRIC: (\{.*\})", said.text):
        timed = json.loads(metric)
        waited[timed["tags"]["endpoint"]] += timed["value"]
    print(f"{'Shopify':<28}{'rows':>10}{'seconds':>11}{'tap rows/s':>13}{'stand-in rows/s':>18}")
    results = []
    for (_, stream), (start, stop) in zip(starts, pairwise(times), strict=True):
        seconds, count = (stop - start).total_seconds(), rows[stream]
        tap, stand_in = count / seconds, count / waited[stream]
        print(
            f"{stream:<28}{count:>10,}{seconds:>11.1f}{tap:>13,.0f}{stand_in:>18,.0f}", flush=True
        )
        metrics = [
            ("rows", count, "rows"),
            ("tap", tap, "rows/s"),
            ("stand_in", stand_in, "rows/s"),
        ]
        results += [
            {"case": f"Shopify {stream}", "metric": m, "value": round(v, 3), "unit": u}
            for m, v, u in metrics
        ]
    return results


def grow(scale: float, folder: Path) -> tuple[float, dict[str, float]]:
    """Seconds of the first build, and those of one after a day, as bench_build says."""
    project = Project(folder / f"scale-{scale}", scale=scale)
    figures = project.output / "build.json"
    build = ("python", str(Path(__file__).with_name("bench_build.py")), str(figures))
    dbt = {
        "DBT_PROJECT_DIR": "transform",
        "DBT_PROFILES_DIR": "transform/profiles",
        "DBT_TARGET_PATH": str(project.output / "dbt/target"),
        "DBT_LOG_PATH": str(project.output / "dbt/logs"),
    }

    def run(*command: str, **environment: str) -> None:
        done = project.run(*command, **environment)
        assert done.code == 0, done.text

    days: list[dict[str, float]] = []
    try:
        run("meltano", "invoke", "sandbox", "up")
        run("meltano", "run", *LOAD_ALL, "dbt:build")
        results = json.loads((project.output / "dbt/target/run_results.json").read_text())
        for _ in range(DAYS):
            project.tick()
            run("meltano", "run", *LOAD_ALL)
            run(*build, **dbt)
            days.append(json.loads(figures.read_text()))
    finally:
        project.close()
    costs = {node: statistics.median(day[node] for day in days) for node in days[-1]}
    return results["elapsed_time"], costs


def models() -> list[dict[str, object]]:
    """The first build against its bound, and what one after a day costs at ten times the rows."""
    with tempfile.TemporaryDirectory(dir=OUTPUT.parent) as folder:
        firsts, days = zip(*(grow(scale, Path(folder)) for scale in SCALES), strict=True)
    print(f"{'dbt build':<44}" + "".join(f"{f'SCALE={scale}':>12}" for scale in SCALES))
    first = f"first, seconds (at most {BUILD_LIMIT} at SCALE={SCALES[0]})"
    print(f"{first:<44}" + "".join(f"{seconds:>12.1f}" for seconds in firsts))
    metrics = [
        (f"first, SCALE={scale}", seconds, "s")
        for scale, seconds in zip(SCALES, firsts, strict=True)
    ]

    def show(what: str, costs: Sequence[float], why: str = "") -> None:
        ratio = costs[1] / costs[0]
        print(f"{what:<44}{costs[0]:>12.2f}{costs[1]:>12.2f}{ratio:>8.2f} x  {why}".rstrip())
        for scale, cost in zip(SCALES, costs, strict=True):
            metrics.append((f"after a day, {what.strip()}, SCALE={scale}", cost, "s"))
        metrics.append((f"growth of {what.strip()}", ratio, "x"))

    nodes = {f"model.headwater.{model}": why for model, why in GROWING.items()}
    rest = [day["whole"] - sum(day[node] for node in nodes) for day in days]
    print("after a day, one node after the other")
    show("  whole, tests included", [day["whole"] for day in days])
    show(f"  without the next {len(nodes)}", rest, f"(at most {GROWTH_LIMIT} x)")
    for node, why in nodes.items():
        show(f"    {node.split('.')[2]}", [day[node] for day in days], why)
    most = sorted(days[1], key=lambda node: days[0].get(node, 0) - days[1][node])
    for node in [node for node in most if node not in {*nodes, "whole"}][:SHOWN]:
        show(f"    {node.split('.')[2][:38]}", [day[node] for day in days])
    return [
        {"case": "dbt build", "metric": m, "value": round(v, 3), "unit": u} for m, v, u in metrics
    ]


PARTS = {"loader": loader, "shop": shop, "models": models, "nights": nights, "bulk": bulk}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure, side by side in one run.")
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all unless named")
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS, help="the tables of bulk")
    arguments = parser.parse_args()
    OUTPUT.parent.mkdir(exist_ok=True)
    parts = PARTS | {"bulk": partial(bulk, arguments.rows)}
    results = [result for part in arguments.parts or PARTS for result in parts[part]()]
    OUTPUT.write_text(json.dumps(results, indent=2) + "\n")
    print(f"Written to {os.path.relpath(OUTPUT)}")

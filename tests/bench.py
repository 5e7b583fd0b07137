"""`make bench`: measures, side by side in one run; `python tests/bench.py loader` only a part.

loader: each case beside the least that could do the same work, each timed in a process of its own,
which imports first and then reports the seconds of the work and its peak memory; the two sides of a
ratio take turns, and medians are compared. shop: each stream in one run of the tap into the
warehouse, beside what the tap waited for the stand-in. models: dbt in a project of its own at
SCALE=1 and at SCALE=10: whole, then after each of three days, whose medians are compared model by
model. nights: the whole job through Dagster beside the same by hand. bulk: tables from Postgres to
a DuckDB file, beside dlt and a bare copy; `--rows` makes it smaller.

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
from collections import defaultdict
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
GROWTH_LIMIT = 1.5  # of a model's time after a day, from one scale to the other
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


def build_times(project: Project) -> tuple[float, dict[str, float]]:
    """Seconds of the last `dbt build`, tests included, and of each model and snapshot in it."""
    results = json.loads((project.output / "dbt/target/run_results.json").read_text())
    times = {}
    for result in results["results"]:
        kind, _, name, *_ = result["unique_id"].split(".")
        if kind in ("model", "snapshot"):
            times[name] = result["execution_time"]
    return results["elapsed_time"], times


def grow(scale: float, folder: Path) -> tuple[float, float, dict[str, float]]:
    """Seconds of the whole build, of the one after a day, and of each model after a day."""
    project = Project(folder / f"scale-{scale}", scale=scale)
    try:
        for command in (("invoke", "sandbox", "up"), ("run", "nightly")):
            done = project.meltano("--log-level", "warning", *command)
            assert done.code == 0, done.text
        whole, _ = build_times(project)
        days, times = [], defaultdict(list)
        for _ in range(DAYS):
            project.tick()
            done = project.meltano("--log-level", "warning", "run", "nightly")
            assert done.code == 0, done.text
            seconds, models = build_times(project)
            days.append(seconds)
            for name, value in models.items():
                times[name].append(value)
    finally:
        project.close()
    return whole, statistics.median(days), {n: statistics.median(t) for n, t in times.items()}


def models() -> list[dict[str, object]]:
    """The whole build against its bound, and each model's growth from one scale to the other."""
    with tempfile.TemporaryDirectory(dir=OUTPUT.parent) as folder:
        small, large = (grow(scale, Path(folder)) for scale in SCALES)
    names = [f"SCALE={scale}" for scale in SCALES]
    print(f"\n{'dbt build, tests included':<40}{names[0]:>12}{names[1]:>12}{'ratio':>8}")
    bound = f"whole (at most {BUILD_LIMIT} s at {names[0]})"
    print(f"{bound:<40}{small[0]:>10.1f} s{large[0]:>10.1f} s")
    print(f"{'after a day':<40}{small[1]:>10.1f} s{large[1]:>10.1f} s{large[1] / small[1]:>6.2f} x")
    results: list[tuple[str, str, float, str]] = []
    for name, (whole, day, _) in zip(names, (small, large), strict=True):
        results += [("dbt build", f"whole, {name}", whole, "s")]
        results += [("dbt build", f"after a day, {name}", day, "s")]
    grown = sorted(((large[2][m] / t, m) for m, t in small[2].items()), reverse=True)
    for ratio, model in grown:
        results.append(("dbt build", f"growth of {model}", ratio, "x"))
        if ratio > GROWTH_LIMIT:
            print(
                f"  {model:<38}{small[2][model]:>10.2f} s{large[2][model]:>10.2f} s{ratio:>6.2f} x"
            )
    within = sum(ratio <= GROWTH_LIMIT for ratio, _ in grown)
    print(f"  {within} of {len(grown)} models within {GROWTH_LIMIT} x")
    return [{"case": c, "metric": m, "value": round(v, 3), "unit": u} for c, m, v, u in results]


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

"""Write the table of docs/access.md from what dbt grants: `python docs/access.py`."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = Path(__file__).with_suffix(".md")
START, END = "<!-- what dbt grants: python docs/access.py -->\n", "<!-- end -->\n"
# Each role's variable; that each stands for itself keeps the manifest free of real groups.
GROUPS = {
    "analyst": "HEADWATER_ANALYST_GROUP",
    "reporting": "HEADWATER_REPORTING_GROUP",
}
READ = "roles/bigquery.dataViewer"


def table(manifest: dict) -> str:
    """One row for a dataset and who may read it, from a manifest made with `GROUPS`' own names.

    Raises:
        ValueError: a grant that the page has no column for.
    """
    rows: dict[tuple[str, ...], list[str]] = {}
    for node in [*manifest["nodes"].values(), *manifest["sources"].values()]:
        if node["resource_type"] not in ("source", "seed", "snapshot", "model"):
            continue
        grants = node["config"].get("grants") or {}
        groups = {grantee.removeprefix("group:") for grantee in grants.get(READ, [])}
        if grants.keys() > {READ} or groups - {*GROUPS.values()}:
            raise ValueError(f"{node['name']}: {grants}")
        cells = ("read" if group in groups else "" for group in GROUPS.values())
        rows.setdefault((node["schema"], *cells), []).append(node["name"])
    lines = [
        f"| dataset | relations | data engineer | {' | '.join(GROUPS)} |",
        f"|---|---|---|{'---|' * len(GROUPS)}",
    ]
    for (dataset, *cells), names in sorted(rows.items()):
        shown = ", ".join(f"`{name}`" for name in sorted(names))
        lines.append(f"| `{dataset}` | {shown} | everything | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def page(manifest: dict) -> str:
    """The page, with its table as the manifest says."""
    before, rest = PAGE.read_text().split(START)
    return before + START + table(manifest) + END + rest.partition(END)[2]


def main() -> None:
    with tempfile.TemporaryDirectory() as target:
        environment = {name: name for name in GROUPS.values()} | {
            "BIGQUERY_API_ENDPOINT": "http://127.0.0.1",  # parsing asks for nothing
            "DBT_SCHEMA_PREFIX": "",
        }
        subprocess.run(
            [
                Path(sys.executable).with_name("dbt"),
                *("--quiet", "parse", "--target", "offline"),
                *("--target-path", target, "--log-path", target),
                *("--project-dir", ROOT / "transform"),
                *("--profiles-dir", ROOT / "transform/profiles"),
            ],
            env=os.environ | environment,
            check=True,
        )
        PAGE.write_text(page(json.loads(Path(target, "manifest.json").read_text())))


if __name__ == "__main__":
    main()

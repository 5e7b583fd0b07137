"""Write docs/licences.md to stdout: `make licences`.

Every installed package with its licence as the package states it, by licence.
"""

import json
import subprocess
import sys
from itertools import groupby
from pathlib import Path

SHOPIFY = Path(__file__).parents[1] / ".meltano/extractors/tap-shopify/venv/bin/python"

INTRODUCTION = """\
# Licences

Headwater itself is under the Apache License 2.0 (LICENSE). These are the packages that `uv sync`
installs beside it, with those that `make bench` adds, as each states its licence; none is copied
into this repository.

What is copied are the types, fields and arguments of Shopify's Admin API, without their
descriptions, by which the sandbox's shop answers; they are under the ISC License, which lies beside
them (`plugins/utilities/sandbox/headwater_sandbox/shopify/schema/LICENSE`).

meltanolabs-tap-postgres, which the extractor extends, is under the Elastic License 2.0: free to use
and change, but not to be offered to others as a managed service.
"""
SHOPIFY_INTRODUCTION = """\
## The Shopify tap's environment

tap-shopify is under the GNU Affero General Public License 3.0. It is used as published, without a
change, as a program of its own: Meltano installs it into an environment of its own and starts it as
a process, which writes its rows to a pipe. Nothing in this repository imports it, contains it or
derives from it. To run it so asks nothing of you; who changes it, and lets others use the changed
program over a network, owes them its source. A team that may not have AGPL software at all leaves
it out of the jobs in `meltano.yml`, and it is never installed. Of the two packages below that are
UNKNOWN, tap-shopify states the AGPL in its licence file only, singer-python the Apache License 2.0.
"""


def licences() -> str:
    """The page, as Markdown."""
    return "\n".join(
        [*listed(sys.executable, INTRODUCTION), "", *listed(SHOPIFY, SHOPIFY_INTRODUCTION)]
    )


def listed(python: str | Path, introduction: str) -> list[str]:
    """Lines on the packages of one environment, known by its interpreter."""
    command = ["pip-licenses", f"--python={python}", "--format=json", "--from=mixed"]
    out = subprocess.run(command, check=True, capture_output=True, text=True)
    packages = sorted(
        (package["License"].splitlines()[0], package["Name"], package["Version"])
        for package in json.loads(out.stdout)
        if not package["Name"].startswith("headwater-")
    )
    lines = [introduction]
    for licence, group in groupby(packages, key=lambda package: package[0]):
        names = ", ".join(f"{name} {version}" for _, name, version in group)
        lines += [f"**{licence}**: {names}", ""]
    return lines[:-1]


if __name__ == "__main__":
    print(licences())

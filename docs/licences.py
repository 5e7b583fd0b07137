"""Write docs/licences.md to stdout: `make licences`.

Every installed package with its licence as the package states it, by licence.
"""

import json
import subprocess
from itertools import groupby

INTRODUCTION = """\
# Licences

Headwater itself is under the Apache License 2.0 (LICENSE). These are the packages that `uv sync`
installs beside it, as each states its licence; none is copied into this repository.

meltanolabs-tap-postgres, which the extractor extends, is under the Elastic License 2.0: free to use
and change, but not to be offered to others as a managed service.
"""


def licences() -> str:
    """The page, as Markdown."""
    command = ["pip-licenses", "--format=json", "--from=mixed"]
    out = subprocess.run(command, check=True, capture_output=True, text=True)
    packages = sorted(
        (package["License"].splitlines()[0], package["Name"], package["Version"])
        for package in json.loads(out.stdout)
        if not package["Name"].startswith("headwater-")
    )
    lines = [INTRODUCTION]
    for licence, group in groupby(packages, key=lambda package: package[0]):
        names = ", ".join(f"{name} {version}" for _, name, version in group)
        lines += [f"**{licence}**: {names}", ""]
    return "\n".join(lines).rstrip()


if __name__ == "__main__":
    print(licences())

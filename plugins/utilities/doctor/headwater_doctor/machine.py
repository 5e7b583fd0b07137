"""The machine: Python and its packages, the folder that runs write to, the warehouse's file."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb

from headwater_doctor.finding import Finding

# The sandbox, the warehouse and its copy at SCALE=1, with room to spare.
LEAST_FREE_BYTES = 2 * 2**30


def check(root: Path) -> list[Finding]:
    """Python, its packages, the folder output/, the disk."""
    return [
        _python(sys.version_info[:2]),
        _packages(root),
        _writable(root / "output"),
        _space(root, shutil.disk_usage(root).free),
    ]


def check_duckdb(root: Path, env: dict[str, str]) -> list[Finding]:
    """Whether the next run can open the warehouse file."""
    path = root / env.get("DUCKDB_PATH", "output/headwater.duckdb")
    if not path.exists():
        return [Finding(f"the warehouse {path} will be made by the first run")]
    try:
        duckdb.connect(str(path)).close()
    except duckdb.Error as error:
        reason = str(error).splitlines()[0]
        _, held, holder = reason.partition("lock is held in ")
        if held:
            return [Finding(f"the warehouse {path} is in use", f"close {holder.split('. ')[0]}")]
        return [Finding(f"the warehouse {path} cannot be opened", reason)]
    return [Finding(f"the warehouse {path} can be opened")]


def _python(version: tuple[int, ...]) -> Finding:
    name = "Python {}.{}".format(*version)
    if (3, 11) <= version < (3, 13):
        return Finding(name)
    return Finding(f"{name} will not do", "remove .venv and run make, with uv or Python 3.11")


def _packages(root: Path) -> Finding:
    local = root / ".tools/bin/uv"
    uv = shutil.which("uv") or (str(local) if local.exists() else None)
    if uv is None:
        return Finding("uv is not there", "run make: it installs uv into .tools")
    synced = subprocess.run(
        [uv, "sync", "--frozen", "--check", "--offline", "--quiet"],
        cwd=root,
        env=os.environ | {"UV_PROJECT_ENVIRONMENT": sys.prefix},
        capture_output=True,
    )
    if synced.returncode:
        return Finding("the packages are not those of uv.lock", "run uv sync --frozen")
    return Finding("the packages are those of uv.lock")


def _writable(folder: Path) -> Finding:
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        return Finding(f"{folder} can be written")
    return Finding(f"{folder} cannot be written", f"make {there} a folder that you can write to")


def _space(root: Path, free: int) -> Finding:
    what = f"{free / 2**30:.1f} GiB of disk are free"
    if free >= LEAST_FREE_BYTES:
        return Finding(what)
    return Finding(what, f"{LEAST_FREE_BYTES / 2**30:.0f} are needed beneath {root}")

"""A BigQuery emulator, on loopback, in a directory and a Python environment of its own."""

import contextlib
import os
import shutil
import socket
import subprocess
import urllib.request
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from headwater_sandbox.postgres import ServerError, locked
from headwater_sandbox.process import Background

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "bigquery_requirements.txt"  # uv writes it from bigquery_requirements.in
APP = HERE / "bigquery_app.py"
PYTHON = "3.13"
DEFAULT_ENDPOINT = "http://127.0.0.1:9050"


class Emulator:
    """The emulator whose environment, data and log are under `directory`.

    `endpoint`: its URL; None takes a free port at start().
    """

    def __init__(self, directory: Path, endpoint: str | None = DEFAULT_ENDPOINT) -> None:
        self.directory = Path(directory).absolute()
        self.endpoint = endpoint
        self._process = Background(self.directory, "the BigQuery emulator", "bigquery.log")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def is_running(self) -> bool:
        if facts := self._process.facts:
            self.endpoint = facts["endpoint"]
        return facts is not None

    def start(self) -> None:
        """Start it, after making its environment if there is none; a no-op if it runs.

        Raises:
            ServerError: there is no Python 3.13, the port is in use, or it does not start.
        """
        with locked(self.directory):
            if self.is_running:
                return
            port = self._choose_port()
            python = self._environment()
            self._process.start(
                [python, APP, self.directory, str(port)],
                {"endpoint": self.endpoint},
                self._answers,
            )

    def stop(self) -> None:
        """Stop it and wait until its process is gone; a no-op if it does not run."""
        if not self.directory.exists():
            return
        with locked(self.directory):
            self._process.stop()

    def _choose_port(self) -> int:
        try:
            port = urlsplit(self.endpoint or "").port or 0
        except ValueError:
            raise ServerError(f"BIGQUERY_API_ENDPOINT is no URL: {self.endpoint}") from None
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                raise ServerError(
                    f"port {port} is in use by another process: set BIGQUERY_API_ENDPOINT to "
                    "http://127.0.0.1:PORT with a free one"
                ) from None
            port = probe.getsockname()[1]
        self.endpoint = f"http://127.0.0.1:{port}"
        return port

    def _environment(self) -> Path:
        """The Python of an environment with exactly the locked packages."""
        environment = self.directory / "venv"
        stamp = environment / "requirements.txt"
        python = environment / "bin" / "python"
        wanted = REQUIREMENTS.read_text()
        if stamp.exists() and stamp.read_text() == wanted and python.exists():
            return python
        uv = _uv()
        shutil.rmtree(environment, ignore_errors=True)
        _run(uv, "venv", "--quiet", "--no-project", "--python", find_python(uv), str(environment))
        _run(
            *(uv, "pip", "install", "--quiet", "--require-hashes", "--only-binary", ":all:"),
            *("--python", str(python), "--requirement", str(REQUIREMENTS)),
        )
        stamp.write_text(wanted)
        return python

    def _answers(self) -> bool:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"{self.endpoint}/bigquery/v2/projects", timeout=5).close()
            return True
        return False


def find_python(uv: str | None = None) -> str:
    """A Python 3.13: what uv finds or can fetch, else one that pyenv keeps off PATH.

    Raises:
        ServerError: there is none to be had.
    """
    uv = uv or _uv()
    # pyenv's shims are on PATH and run nothing: they come last.
    kept = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    kept_pythons = sorted(kept.glob(f"{PYTHON}.*/bin/python{PYTHON}"), reverse=True)
    path = os.pathsep.join(
        entry for entry in os.environ.get("PATH", "").split(os.pathsep) if "shims" not in entry
    )
    for extra in ([], *([str(python)] for python in kept_pythons)):
        found = subprocess.run(
            [uv, "python", "find", "--no-project", *(extra or [PYTHON])],
            capture_output=True,
            text=True,
            env=os.environ | {"PATH": path},
        )
        if found.returncode == 0:
            return found.stdout.strip()
    fetched = subprocess.run(
        [uv, "python", "install", "--quiet", "--no-bin", PYTHON], capture_output=True, text=True
    )
    if fetched.returncode == 0:
        return PYTHON
    raise ServerError(
        f"the BigQuery emulator needs Python {PYTHON}, which is not here and cannot be fetched: "
        f"install it, so that `uv python find {PYTHON}` finds it"
    )


def _uv() -> str:
    root = Path(os.environ.get("MELTANO_PROJECT_ROOT") or ".").absolute()
    uv = shutil.which("uv") or shutil.which("uv", path=str(root / ".tools/bin"))
    if not uv:
        raise ServerError("the BigQuery emulator needs uv: https://docs.astral.sh/uv")
    return uv


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise ServerError(f"{command[0]} {command[1]} failed: {lines[-1] if lines else ''}")

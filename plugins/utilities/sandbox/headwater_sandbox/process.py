"""A server of the sandbox that runs in the background, known by a record in its directory."""

import contextlib
import json
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil

from headwater_sandbox.postgres import ServerError

START_SECONDS = 60


class Background:
    """The process whose record (`process.json`) and log are in `directory`.

    `name` is what messages call it.
    """

    def __init__(self, directory: Path, name: str, log: str) -> None:
        self.directory, self.name, self.log = directory, name, directory / log
        self._record = directory / "process.json"

    @property
    def facts(self) -> dict[str, Any] | None:
        """What the live process was started with; None if it does not run."""
        return json.loads(self._record.read_text()) if self._process() else None

    def start(
        self, command: Sequence[str | Path], facts: dict[str, Any], is_ready: Callable[[], bool]
    ) -> None:
        """Start it and wait until it is ready.

        Raises:
            ServerError: it ends before, or is not ready in time; the last line of its log.
        """
        with self.log.open("w") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                start_new_session=True,
            )
        record = {"pid": process.pid, "created": psutil.Process(process.pid).create_time()}
        self._record.write_text(json.dumps(record | facts))
        deadline = time.monotonic() + START_SECONDS
        while not is_ready():
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                process.wait()
                lines = self.log.read_text(errors="replace").strip().splitlines()
                told = lines[-1] if lines else "it said nothing"
                raise ServerError(f"{self.name} did not start: {told} (log: {self.log})")
            time.sleep(0.1)

    def stop(self) -> None:
        """Stop it and wait until it is gone; a no-op if it does not run."""
        if process := self._process():
            process.terminate()
            try:
                process.wait(10)
            except psutil.TimeoutExpired:
                process.kill()
                process.wait(10)
        self._record.unlink(missing_ok=True)

    def _process(self) -> psutil.Process | None:
        """The live process: its id alone may be another's by now."""
        with contextlib.suppress(OSError, ValueError, psutil.NoSuchProcess):
            record = json.loads(self._record.read_text())
            process = psutil.Process(record["pid"])
            is_same = process.create_time() == record["created"]
            if is_same and process.status() != psutil.STATUS_ZOMBIE:
                return process
        return None

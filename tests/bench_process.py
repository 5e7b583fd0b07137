"""A command measured from outside, from its start to its end, with all its processes."""

import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

INTERVAL = 0.05  # seconds between two looks at the memory


@dataclass(frozen=True)
class Cost:
    """What a command took.

    `seconds`: of wall time. `cpu`: seconds, user and system, of the process and all its children;
    not of a server they talk to. `memory`: MB, of all these processes together, at the moment of
    20 a second when it was most: what each holds for itself, and once, as they share them, the
    libraries and other files that are mapped, as many as the one has that maps most.
    """

    seconds: float
    cpu: float
    memory: float


def measure(command: Sequence[str | Path], cwd: Path, env: Mapping[str, str]) -> Cost:
    """Run a command to its end.

    Raises:
        AssertionError: it failed; with the end of what it wrote.
    """
    with tempfile.TemporaryFile("w+") as said:
        start = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=said, stderr=said
        )
        ended = threading.Event()
        peaks = [0]
        watcher = threading.Thread(target=_watch, args=(process.pid, ended, peaks))
        watcher.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
        finally:
            ended.set()
            watcher.join()
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        assert process.returncode == 0, f"{command}\n{said.read()[-5000:]}"
    return Cost(seconds, usage.ru_utime + usage.ru_stime, max(peaks) * 1024 / 1e6)


def _watch(pid: int, ended: threading.Event, peaks: list[int]) -> None:
    while not ended.wait(INTERVAL):
        now = [held(each) for each in family(pid)]
        peaks.append(sum(own for own, _ in now) + max(mapped for _, mapped in now))


def family(pid: int) -> list[int]:
    """The process and all its descendants. Cheaper than psutil, which reads every process."""
    found = [pid]
    for each in found:
        with suppress(OSError):  # it has just ended
            for children in Path(f"/proc/{each}/task").glob("*/children"):
                found += map(int, children.read_text().split())
    return found


def held(pid: int) -> tuple[int, int]:
    """KiB of the process's own, and of files that it maps. Far cheaper than to ask for the PSS."""
    with suppress(OSError):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        values = dict(line.split(":", 1) for line in lines)
        if "RssAnon" in values:  # else it has just ended
            own, shared, mapped = (
                int(values[name].split()[0]) for name in ("RssAnon", "RssShmem", "RssFile")
            )
            return own + shared, mapped
    return 0, 0

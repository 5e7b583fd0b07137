"""Run a job of meltano.yml, alone, and show what came of it: `python orchestrate/run.py`.

Meltano refuses a job whose last run was killed until five minutes have passed. Here a lock that
the system frees with its holders takes that claim's place, so that the next run starts at once.
"""

import argparse
import fcntl
import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import dotenv
import psutil
import yaml

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "output" / "run.lock"
DEFAULT_JOB = "nightly"
# What a killed run has started ends by itself; until then it holds the lock.
PATIENCE_SECONDS = 50
# "2026-06-30T02:00:00Z [info     ] tap-postgres Error: the server is down", or dbt's own words.
CAUSE = re.compile(r"\] (?P<step>\S+) +(?:Error: |.*?(?=\b(?:Error|Failure) in ))(?P<said>.+)")
# "… reconcile orders, customers: …": what is wrong with streams.
PROBLEM = re.compile(r"\] (?P<step>reconcile) +(?P<said>[\w-]+(?:, [\w-]+)*: .+)")
STEP = re.compile(r"\S+ \[\w+ *\] (?P<step>\S+)")
# "… tap-shopify CRITICAL HTTPError": a tap's last words. Then comes its traceback, which begins
# with the first cause: "… tap-shopify urllib.error.HTTPError: HTTP Error 500: …".
LAST_WORDS = re.compile(r"\] \S+ +CRITICAL (?P<said>.+)")
RAISED = re.compile(r"\] \S+ +(?:\w+\.)*(?P<said>\w+: .+)")
BOX = ("╭", "│", "╰")
COLOUR = re.compile(r"\x1b\[\d*m")


def run(job: str | None) -> int:
    """Run the job, then print the summary, or why there is none; returns the exit code.

    Without a job, the one that the environment names.
    """
    dotenv.load_dotenv(ROOT / ".env")  # Meltano reads it too; the summary does not
    job = job or nightly_job(os.environ.get("MELTANO_ENVIRONMENT"))
    with take_turn(LOCK) as lock:
        environment = os.environ | {"MELTANO_RUN_ID": str(uuid.uuid4())}
        with subprocess.Popen(
            ["meltano", "run", "--force", job],
            env=environment,
            pass_fds=[lock.fileno()],
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        ) as meltano:
            causes, seconds = show(meltano.stderr)
        if meltano.returncode == 0:
            return summarise(job, environment, seconds)
        sys.stderr.writelines(["\n  The run did not end well.\n", *causes])
        return meltano.returncode if meltano.returncode > 0 else 128 - meltano.returncode


class Causes:
    """Why a command of Meltano's failed, in the words of the tools that did, from its log."""

    def __init__(self) -> None:
        self.tracebacks: list[str] = []
        self._said: list[str] = []
        self._last_words: dict[str, list[str]] = {}

    def hear(self, line: str) -> bool:
        """Take in the log's next line; returns whether it is to be shown: a traceback's is not."""
        # Meltano boxes a traceback when a loader ends before its tap; then the exception.
        if line.startswith(BOX) or (self.tracebacks and self.tracebacks[-1].startswith("╰")):
            self.tracebacks.append(line)
            return False
        plain = COLOUR.sub("", line)
        step = (STEP.match(plain) or {"step": None})["step"]
        words = LAST_WORDS.search(plain)
        if self._last_words and step is None:  # Meltano says again what ended a tap's discovery
            return False
        if step in self._last_words and not words:
            if raised := RAISED.search(plain):
                self._last_words[step].append(raised["said"])
            return False
        if words:
            self._last_words[step] = [words["said"]]
        elif cause := CAUSE.search(plain) or PROBLEM.search(plain):
            self._said.append(f"{cause['step']}: {cause['said']}")
        return True

    @property
    def lines(self) -> list[str]:
        """A line per cause; none if the log names none."""
        ended = []
        for step, (said, *raised) in self._last_words.items():
            first = [*raised, said][0]
            ended.append(f"{step}: {first if said in first else f'{said} ({first})'}")
        return list(dict.fromkeys([*self._said, *ended]))


def show(log: Iterable[str]) -> tuple[list[str], float | None]:
    """Show Meltano's log without its tracebacks; returns why the run ended, line by line, and how
    many seconds the load from Postgres took, all that Meltano does around it included."""
    causes, steps, seconds = Causes(), set(), None
    began = time.monotonic()
    for line in log:
        if causes.hear(line):
            sys.stderr.write(line)
            sys.stderr.flush()
        if found := STEP.match(COLOUR.sub("", line)):
            steps.add(found["step"])
        if "Block run completed" in line:
            if "tap-postgres" in steps:
                seconds = time.monotonic() - began
            began, steps = time.monotonic(), set()
    return [f"  {cause}\n" for cause in causes.lines] or causes.tracebacks, seconds


def run_through_dagster() -> int:
    """Run Dagster's job here and now, then print the summary; returns the exit code."""
    dotenv.load_dotenv(ROOT / ".env")
    command = ["job", "execute", "--module-name", "orchestrate.definitions", "--job", DEFAULT_JOB]
    quiet = {"PYTHONWARNINGS": "ignore::FutureWarning"}  # Dagster prefers its cloud's command
    code = subprocess.run(["dagster", *command], cwd=ROOT, env=os.environ | quiet).returncode
    return code or summarise(nightly_job(os.environ.get("MELTANO_ENVIRONMENT")), dict(os.environ))


def summarise(job: str, environment: dict[str, str], load_seconds: float | None = None) -> int:
    """Print what the newest run did; returns the exit code. `load_seconds`: of `show`."""
    # An environment beside the default one says by itself where its warehouse is.
    through = ["meltano", "--log-level", "warning", "invoke"] if job != DEFAULT_JOB else []
    options = ["--load-seconds", str(load_seconds)] if load_seconds else []
    command = [*through, "reconcile", "summary", *options]
    return subprocess.run(command, env=environment).returncode


def nightly_job(environment: str | None) -> str:
    """The environment's nightly job: what its annotations say, else `nightly`."""
    declared = yaml.safe_load((ROOT / "meltano.yml").read_text())["environments"]
    by_name = {e["name"]: e.get("annotations", {}).get("headwater", {}) for e in declared}
    return by_name.get(environment, {}).get("job", DEFAULT_JOB)


class NoTurn(Exception):
    """The run cannot start; the message is one line that says what to do."""


def take_turn(path: Path, patience: float = 0) -> IO[str]:
    """The lock file, locked; it stays so until the last process that has it open ends.

    `patience`: how many seconds to wait for another run to end.

    Raises:
        NoTurn: another run holds it, or its folder cannot be written.
    """
    try:
        path.parent.mkdir(exist_ok=True)
        lock = path.open("a+")
    except OSError as error:
        raise NoTurn(
            f"Cannot write to {path.parent}: {error.strerror}. Make it a writable folder."
        ) from None
    started = time.monotonic()
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            limit = patience if holder(path) else max(patience, PATIENCE_SECONDS)
            if time.monotonic() - started > limit:
                raise NoTurn(
                    f"Another run is under way (process {path.read_text()}): "
                    "start this one after it."
                ) from None
            time.sleep(0.2)
        else:
            lock.truncate(0)
            try:
                lock.write(f"{os.getpid()}, since {time.strftime('%H:%M:%S')}")
                lock.flush()
            except OSError as error:
                raise NoTurn(
                    f"Cannot write to {path.parent}: {error.strerror}. Make room on its disk."
                ) from None
            return lock


def holder(path: Path) -> str | None:
    """The process that has the lock, None where there is none, or only what it had started."""
    said = path.read_text() if path.exists() else ""
    number, _, _ = said.partition(",")
    return said if number.isdecimal() and psutil.pid_exists(int(number)) else None


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Run a job of meltano.yml, alone.")
    parser.add_argument(
        "job", nargs="?", help="its name; without it, the environment's nightly one"
    )
    parser.add_argument("--dagster", action="store_true", help="the nightly one, through Dagster")
    arguments = parser.parse_args()
    try:
        sys.exit(run_through_dagster() if arguments.dagster else run(arguments.job))
    except NoTurn as error:
        sys.exit(str(error))

"""Run a job of meltano.yml, alone, and show what came of it: `python orchestrate/run.py nightly`.

Meltano refuses a job whose last run was killed until five minutes have passed. Here a lock that
the system frees with its holders takes that claim's place, so that the next run starts at once.
"""

import argparse
import fcntl
import os
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import IO

OUTPUT = Path(__file__).parents[1] / "output"
# What a killed run has started ends by itself within seconds; until then it holds the lock.
PATIENCE_SECONDS = 20


def run(job: str) -> int:
    """Run the job, and print the summary of one that ended well; returns the exit code."""
    with take_turn(OUTPUT / "run.lock") as lock:
        environment = os.environ | {"MELTANO_RUN_ID": str(uuid.uuid4())}
        command = ["meltano", "run", "--force", job]
        code = subprocess.run(command, env=environment, pass_fds=[lock.fileno()]).returncode
        if code == 0:
            code = subprocess.run(["reconcile", "summary"], env=environment).returncode
        return code


def take_turn(path: Path) -> IO[str]:
    """The lock file, locked; it stays so until the last process that has it open ends.

    Raises:
        SystemExit: another run holds it, or its folder cannot be written.
    """
    try:
        path.parent.mkdir(exist_ok=True)
        lock = path.open("a+")
    except OSError as error:
        sys.exit(f"Cannot write to {path.parent}: {error.strerror}. Make it writable, or its disk.")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                lock.seek(0)
                sys.exit(f"Another run is under way ({lock.read()}): start this one when it ends.")
            time.sleep(0.2)
        else:
            lock.truncate(0)
            lock.write(f"process {os.getpid()}, since {time.strftime('%H:%M:%S')}")
            lock.flush()
            return lock


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Run a job of meltano.yml, alone.")
    parser.add_argument("job", help="its name, such as nightly")
    sys.exit(run(parser.parse_args().job))

"""How a step runs a command of Meltano's: alone, its words kept, its error the tool's own."""

import os
import re
import sys
import warnings
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import dagster as dg

# dagster-meltano works with one dagster-shell, which is older than Dagster and says so each time.
warnings.filterwarnings("ignore", message="Found version mismatch")
from dagster_meltano import MeltanoResource  # noqa: E402
from dagster_meltano.exceptions import MeltanoCommandError  # noqa: E402

from .run import COLOUR, LOCK, ROOT, Causes, take_turn  # noqa: E402

POOL = "warehouse"
OWNERS = ["team:data-engineering"]
LOGS = ROOT / "output" / "logs"
# A run that was started by hand may be under way; the schedule's waits for it.
PATIENCE_SECONDS = 3600
RETRIES = 3
# What may pass by itself: a server that is away or not ready, a lock, a throttle …
PASSING = re.compile(
    r"connection (?:refused|reset|aborted|timed out)|closed the connection"
    r"|connection (?:(?:is|has been) )?(?:closed|lost)|terminating connection|EOF detected"
    r"|IncompleteRead"
    r"|no route to host|network is unreachable|name resolution|could not translate host name"
    r"|\btimed out\b|\btimeout expired|(?:Read|Connect)Timeout|deadline exceeded|failed: TIMEOUT"
    r"|is (?:starting up|shutting down)|not yet accepting|conflict with recovery"
    r"|too many (?:connections|clients|requests)|connection slots"
    r"|lock timeout|deadlock detected|is held by|could not set lock"
    r"|\bthrottled\b|rate ?limit ?exceeded|exceeded rate limits"
    r"|internal[ _]server[ _]error|bad gateway|service unavailable|gateway time-?out|backendError",
    re.IGNORECASE,
)
# … unless a part of it will not: credentials, a contract.
LASTING = re.compile(
    r"authentication failed|pg_hba\.conf|permission denied|access denied|forbidden|unauthorized"
    r"|invalid (?:api key|access token|credentials)|invalid_(?:client|grant)|enforced contract",
    re.IGNORECASE,
)
SECRET = re.compile(r"PASSWORD|SECRET|TOKEN|API_KEY|CREDENTIALS_JSON|WEBHOOK|POSTGRES_URL")
SHOWN_LINES = 20


def redacted(text: str) -> str:
    """The text without the values of secret variables."""
    for name, value in os.environ.items():
        if SECRET.search(name) and len(value) > 3:
            text = text.replace(value, "***")
    return text


class Log:
    """What a command says: redacted, to the step's own log and to a file."""

    def __init__(self, path: Path):
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._file: IO[str] = path.open("a")
        self._causes = Causes()
        self._last: deque[str] = deque(maxlen=SHOWN_LINES)

    def info(self, line: str) -> None:
        line = redacted(line)
        plain = COLOUR.sub("", line)
        self._causes.hear(plain)
        self._last.append(plain)
        self._file.write(f"{plain}\n")
        self._file.flush()
        sys.stderr.write(f"{line}\n")

    def failure(self, error: str) -> dg.Failure:
        """Why the command failed, in the words of the tool that did."""
        return dg.Failure(
            "\n".join([*(self._causes.lines or self._last), f"({error}; full log: {self.path})"]),
            metadata={"log": dg.MetadataValue.path(self.path)},
            allow_retries=False,
        )


class Meltano(MeltanoResource):
    """dagster-meltano's resource, with what it leaves out: the cause of a failure, and retries."""

    def __init__(self) -> None:
        # exec: a run that is ended ends Meltano, and not only the shell before it.
        super().__init__(project_dir=str(ROOT), meltano_bin="exec meltano")

    def run(self, step: dg.OpExecutionContext, *words: str, **environment: str) -> None:
        """Run a command with the run's id.

        Raises:
            Failure: it did not end well.
        """
        log = Log(LOGS / step.run_id / f"{step.op.name}.log")
        try:
            self.execute_command(
                " ".join(("run", "--force", *words)),
                env={
                    "MELTANO_CLI_LOG_CONFIG": "logging.yaml",  # Meltano's own format
                    "MELTANO_JOB_TRIGGER": "dagster",
                    "MELTANO_RUN_ID": step.run_id,
                    **environment,
                },
                logger=log,
            )
        except MeltanoCommandError as error:
            raise log.failure(str(error)) from None


def or_retry(step: dg.OpExecutionContext, failure: dg.Failure) -> Exception:
    """What to raise for a failure: a retry, later each time, where it may pass by itself."""
    said = failure.description or ""
    if LASTING.search(said) or not PASSING.search(said) or step.retry_number >= RETRIES:
        return failure
    step.log.warning(said)
    seconds = float(os.environ.get("HEADWATER_RETRY_SECONDS", "30"))
    return dg.RetryRequested(RETRIES, seconds * 2**step.retry_number)


@dg.resource
def meltano(_: dg.InitResourceContext) -> Meltano:
    return Meltano()


@dg.resource
def turn(_: dg.InitResourceContext) -> Iterator[None]:
    """The one lock of all runs, by whomever started, for as long as this run lasts.

    It stands in for standard input, which every child inherits: should this process be killed, the
    next run waits until what it had started has ended.
    """
    with take_turn(LOCK, PATIENCE_SECONDS) as lock:
        stdin = os.dup(0)
        os.dup2(lock.fileno(), 0)
        try:
            yield
        finally:
            os.dup2(stdin, 0)
            os.close(stdin)

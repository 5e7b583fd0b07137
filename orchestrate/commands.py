"""How a step runs a command of Meltano's: alone, its words kept, its error the tool's own."""

import os
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import dagster as dg

# dagster-meltano works with one dagster-shell, which is older than Dagster and says so each time.
warnings.filterwarnings("ignore", message="Found version mismatch")
from dagster_meltano import MeltanoResource  # noqa: E402
from dagster_meltano.exceptions import MeltanoCommandError  # noqa: E402

from .run import CAUSE, COLOUR, LOCK, ROOT, take_turn  # noqa: E402

LOGS = ROOT / "output" / "logs"
# A run that was started by hand may be under way; the schedule's waits for it.
PATIENCE_SECONDS = 3600
RETRIES = 3
# What may pass by itself, unless it says what will not.
PASSING = re.compile(
    r"connection (?:refused|reset|closed|timed out)|could not connect|cannot connect"
    r"|timed out|server closed|starting up|shutting down|too many (?:connections|clients|requests)"
    r"|name resolution|could not translate host|network is unreachable|broken pipe"
    r"|lock timeout|deadlock|(?:is|lock) held (?:by|in)|under way|throttled|rate ?limit"
    r"|\b(?:429|500|502|503|504)\b|temporar|unavailable|backenderror",
    re.IGNORECASE,
)
LASTING = re.compile(
    r"authentication|password|permi(?:ssion|tted)|pg_hba|denied|forbidden|unauthorized|\b40[13]\b|contract"
    r"|does not exist|not found|invalid",
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
        self.lines: list[str] = []

    def info(self, line: str) -> None:
        line = redacted(line)
        self.lines.append(COLOUR.sub("", line))
        self._file.write(f"{self.lines[-1]}\n")
        self._file.flush()
        sys.stderr.write(f"{line}\n")

    def failure(self, error: str) -> dg.Failure:
        """Why the command failed, in the words of the tool that did."""
        causes = [f"{c['step']}: {c['said']}" for line in self.lines if (c := CAUSE.search(line))]
        said = list(dict.fromkeys(causes)) or self.lines[-SHOWN_LINES:]
        return dg.Failure(
            "\n".join([*said, f"({error}; full log: {self.path})"]),
            metadata={"log": dg.MetadataValue.path(self.path)},
            allow_retries=False,
        )


class Meltano(MeltanoResource):
    """dagster-meltano's resource, with what it leaves out: the cause of a failure, and retries."""

    def __init__(self) -> None:
        # exec: a run that is ended ends Meltano, and not only the shell before it.
        super().__init__(project_dir=str(ROOT), meltano_bin="exec meltano")

    def run(self, context: dg.OpExecutionContext, *words: str, **environment: str) -> None:
        """Run a command with the run's id.

        Raises:
            Failure: it did not end well.
        """
        log = Log(LOGS / context.run_id / f"{context.op.name}.log")
        try:
            self.execute_command(
                " ".join(("run", "--force", *words)),
                env={
                    "MELTANO_CLI_LOG_CONFIG": "logging.yaml",  # Meltano's own format
                    "MELTANO_JOB_TRIGGER": "dagster",
                    "MELTANO_RUN_ID": context.run_id,
                    **environment,
                },
                logger=log,
            )
        except MeltanoCommandError as error:
            raise log.failure(str(error)) from None


def or_retry(context: dg.OpExecutionContext, failure: dg.Failure) -> Exception:
    """What to raise for a failure: a retry, later each time, where it may pass by itself."""
    said = failure.description or ""
    if LASTING.search(said) or not PASSING.search(said) or context.retry_number >= RETRIES:
        return failure
    context.log.warning(said)
    seconds = float(os.environ.get("HEADWATER_RETRY_SECONDS", "30"))
    return dg.RetryRequested(RETRIES, seconds * 2**context.retry_number)


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

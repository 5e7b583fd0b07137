"""The server: starting, stopping, crashing, and who may log in."""

import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from headwater_sandbox.postgres import PortTakenError, Server, ServerError


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("running")) as server:
        yield server


def processes_of(server: Server) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["cwd", "status"]):
        if process.info["cwd"] == str(server.data):
            found.append(process)
    return found


@pytest.mark.parametrize("mode", [0o755, 0o700])
def test_starts_and_leaves_no_process_behind(mode: int) -> None:
    """Also under a directory that the unprivileged uid cannot pass, as /root is."""
    parent = Path(tempfile.mkdtemp())
    parent.chmod(mode)
    try:
        server = Server(parent / "sandbox")
        server.start()
        with psycopg.connect(server.dsn) as connection:
            connection.execute("create table kept as select 41 + 1 as answer")
        port = server.port
        server.stop()
        assert not server.is_running
        assert processes_of(server) == []
        server.start()
        assert server.port == port
        with psycopg.connect(server.dsn) as connection:
            assert connection.execute("select answer from kept").fetchall() == [(42,)]
        server.stop()
    finally:
        shutil.rmtree(parent)


def test_listens_as_the_tap_needs_it(running: Server) -> None:
    with psycopg.connect(running.dsn) as connection:
        settings = connection.execute(
            "select current_setting('wal_level'), current_setting('listen_addresses'),"
            " current_setting('TimeZone'), current_setting('server_encoding')"
        ).fetchone()
    assert settings == ("logical", "127.0.0.1", "UTC", "UTF8")


def test_refuses_a_wrong_password_and_the_superuser(running: Server) -> None:
    for login in ({"password": "wrong"}, {"user": "postgres"}):
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(running.dsn, **login)
    with psycopg.connect(running.dsn) as connection:
        is_superuser = "select rolsuper from pg_roles where rolname = current_user"
        assert connection.execute(is_superuser).fetchone() == (False,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("copy (select 1) to program 'cat'")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root drops to another uid")
def test_does_not_run_as_root(running: Server) -> None:
    assert {process.uids().real for process in processes_of(running)} == {
        running.data.stat().st_uid
    }
    assert running.data.stat().st_uid != 0


def test_recovers_from_a_kill(tmp_path: Path) -> None:
    """The pid file stays, and so does a busy backend, which does not see its postmaster die."""
    with Server(tmp_path) as server:
        connection = psycopg.connect(server.dsn, autocommit=True)
        connection.execute("create table kept as select 42 as answer")
        connection.pgconn.send_query(b"select count(*) from generate_series(1, 1e12)")
        backend = psutil.Process(connection.info.backend_pid)
        postmaster = int((server.data / "postmaster.pid").read_text().splitlines()[0])
        os.kill(postmaster, signal.SIGKILL)
        while server.is_running:
            pass
        assert backend.status() != psutil.STATUS_ZOMBIE
        server.start()
        assert not backend.is_running() or backend.status() == psutil.STATUS_ZOMBIE
        connection.close()
        with psycopg.connect(server.dsn) as connection:
            assert connection.execute("select answer from kept").fetchall() == [(42,)]
    assert processes_of(server) == []


def test_a_reused_pid_is_not_taken_for_the_server(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        pid_file = (server.data / "postmaster.pid").read_text().splitlines()
    pid_file[0] = str(os.getpid())
    (server.data / "postmaster.pid").write_text("\n".join(pid_file))
    assert not server.is_running
    with server:
        assert server.is_running


def test_a_half_made_data_directory_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "data.new").mkdir()
    (tmp_path / "data.new" / "PG_VERSION").write_text("18\n")
    with Server(tmp_path) as server, psycopg.connect(server.dsn) as connection:
        assert connection.execute("select 1").fetchone() == (1,)


def test_names_a_taken_port(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortTakenError, match=f"port {port} of 127.0.0.1 is in use"):
            Server(tmp_path, port).start()


def test_says_why_it_does_not_start(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        pass
    with (server.data / "postgresql.conf").open("a") as settings:
        settings.write("no_such_setting = 1\n")
    with pytest.raises(ServerError, match="Postgres did not start: .*configuration file.*log: "):
        server.start()


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ServerError, match="cannot write to .*file/sandbox: Not a directory"):
        Server(tmp_path / "file" / "sandbox").start()

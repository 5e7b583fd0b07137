"""The `sandbox` command, as a user runs it: in a project folder, by environment."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from headwater_sandbox.postgres import Server
from headwater_sandbox.shopify.server import StandIn


class Sandbox:
    def __init__(self, root: Path):
        self.root = root
        # A free port of our own, recorded as `up` would record it.
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.dotenv = root / ".env"
        self.dotenv.write_text(f"# mine\nPOSTGRES_PORT={self.port}\nOTHER='kept'\n")
        self.server = Server(root / "output" / "sandbox")
        self.shop = StandIn(root / "output" / "sandbox" / "shopify")

    def popen(self, *arguments: str, **environment: str) -> subprocess.Popen:
        own = ("POSTGRES", "SANDBOX", "SCALE", "SHOPIFY")
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(own)}
        return subprocess.Popen(
            [Path(sys.executable).parent / "sandbox", *arguments],
            cwd=self.root,
            env=inherited | {"SCALE": "0.001"} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, **environment: str) -> tuple[int, str, str]:
        process = self.popen(*arguments, **environment)
        out, error = process.communicate(timeout=60)
        assert "Traceback" not in error
        return process.returncode, out, error

    def query(self, sql: str) -> object:
        with psycopg.connect(self.server.dsn) as connection:
            return connection.execute(sql).fetchone()[0]


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    sandbox = Sandbox(tmp_path)
    yield sandbox
    sandbox.server.stop()
    sandbox.shop.stop()


def test_a_day_in_the_life(sandbox: Sandbox) -> None:
    code, out, _ = sandbox.run("up")
    assert code == 0
    assert "rainbow.orders                  100 rows" in out
    assert "shopify.orders                   20 rows" in out
    dsn = f"postgresql://headwater:headwater@127.0.0.1:{sandbox.port}/headwater"
    proxy = sandbox.shop.proxy
    both = f"Postgres is up: {dsn}\nShopify is up: rainbow-sandbox, by {proxy}\n"
    assert out.endswith(both)
    assert sandbox.run("up") == (0, both, "")

    code, out, _ = sandbox.run("tick", "--days", "2")
    assert code == 0
    assert out.startswith("It is the end of 2026-07-02.")
    assert [line.split()[0] for line in out.splitlines()[2:4]] == [
        "rainbow.categories",
        "rainbow.brands",
    ]

    code, out, _ = sandbox.run("status", "--json", DUCKDB_PATH="elsewhere/w.duckdb")
    assert code == 0
    assert json.loads(out) == {
        "host": "127.0.0.1",
        "port": sandbox.port,
        "database": "headwater",
        "user": "headwater",
        "running": True,
        "warehouse": str(sandbox.root / "elsewhere" / "w.duckdb"),
        "scale": 0.001,
        "seed": 1,
        "day": "2026-07-02",
        "shop": proxy,
    }

    code, _, error = sandbox.run("seed")
    assert code == 1
    assert "there is data of seed 1 at scale 0.001, up to 2026-07-02: --force replaces" in error
    code, out, _ = sandbox.run("seed", "--force", "--seed", "7")
    assert code == 0
    code, out, _ = sandbox.run("psql", "--", "-Atc", "table sandbox.clock")
    assert (code, out) == (0, "7|0.001|2026-06-30\n")

    assert sandbox.run("down") == (0, "Postgres is down.\n", "")
    assert sandbox.run("down") == (0, "Postgres was not running.\n", "")
    code, out, _ = sandbox.run("status")
    assert code == 1
    assert "running    False" in out
    code, out, _ = sandbox.run("status", "--json")
    facts = json.loads(out)
    assert (code, facts["running"], facts["day"]) == (0, False, None)
    assert facts["warehouse"] == str(sandbox.root / "output" / "headwater.duckdb")


def test_a_killed_seed_is_not_taken_for_whole(sandbox: Sandbox) -> None:
    process = sandbox.popen("up", SCALE="0.1")
    for line in process.stdout:
        if "rainbow.customers" in line:
            process.kill()
            break
    process.communicate()
    assert sandbox.query(
        "select to_regclass('sandbox.clock') is null and to_regclass('rainbow.customers') is null"
    )
    code, out, _ = sandbox.run("up")
    assert (code, "at scale 0.001" in out) == (0, True)
    assert sandbox.query("select count(*) from rainbow.orders") == 100


def test_two_at_once_make_the_data_once(sandbox: Sandbox) -> None:
    both = [sandbox.popen("up"), sandbox.popen("up")]
    ends = [(process.communicate(timeout=60), process.returncode) for process in both]
    assert [code for _, code in ends] == [0, 0], ends
    assert sandbox.query("select count(*) from sandbox.clock") == 1
    assert sandbox.query("select count(*) from rainbow.orders") == 100


def test_a_taken_port_is_replaced_in_dotenv(sandbox: Sandbox) -> None:
    with socket.create_server(("127.0.0.1", sandbox.port)):
        # As Meltano does it, and without Meltano.
        code, out, _ = sandbox.run("up", POSTGRES_PORT=str(sandbox.port))
        assert code == 0
        port = sandbox.server.port
        assert port != sandbox.port
        assert (
            f"port {sandbox.port} of 127.0.0.1 is in use by another process: took {port},"
            f" POSTGRES_PORT in {sandbox.dotenv} says so\n"
        ) in out
        assert sandbox.dotenv.read_text() == f"# mine\nPOSTGRES_PORT={port}\nOTHER='kept'\n"
        code, out, _ = sandbox.run("up")
        assert (code, sandbox.server.port) == (0, port)
        assert "in use" not in out


def test_a_taken_port_that_the_user_chose_is_refused(sandbox: Sandbox) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, _, error = sandbox.run("up", POSTGRES_PORT=str(port))
    assert code == 1
    assert error == (
        f"Error: port {port} of 127.0.0.1 is in use by another process: set POSTGRES_PORT to a"
        " free one, or unset it and one is found\n"
    )
    assert not sandbox.server.is_running
    assert f"POSTGRES_PORT={sandbox.port}\n" in sandbox.dotenv.read_text()


@pytest.mark.parametrize("host", ["db.example.com", "127.0.0.1"])
def test_stays_down_beside_the_users_own_server(sandbox: Sandbox, host: str) -> None:
    own = {"POSTGRES_HOST": host, "POSTGRES_USER": "me", "POSTGRES_DB": "mine"}
    code, out, error = sandbox.run("up", **own)
    assert (code, out) == (1, "")
    assert error == (
        f"Error: POSTGRES_HOST is set ({host}), but not POSTGRES_PASSWORD: set what your server"
        " asks for, or unset POSTGRES_HOST for the sandbox\n"
    )
    own["POSTGRES_PASSWORD"] = "wrong"
    stays_down = f"POSTGRES_HOST is set ({host}): the sandbox's Postgres stays down.\n"
    assert sandbox.run("up", SHOPIFY_SHOP="mine", **own) == (0, stays_down, "")
    assert not (sandbox.root / "output").exists()
    (sandbox.root / "meltano.yml").write_text("jobs: tap-shopify")
    code, _, error = sandbox.run("up", **own)
    assert (code, error) == (
        1,
        "Error: POSTGRES_HOST is set, but not SHOPIFY_SHOP: set it to your store, or to"
        " rainbow-sandbox for the sandbox's, or take tap-shopify out of the jobs in meltano.yml\n",
    )
    code, out, _ = sandbox.run("up", SHOPIFY_SHOP="rainbow-sandbox", **own)
    assert (code, out.startswith(stays_down)) == (0, True)
    assert (sandbox.server.is_running, sandbox.shop.is_running) == (False, True)
    code, _, error = sandbox.run("tick", POSTGRES_HOST=host)
    assert (code, error) == (
        1,
        f"Error: POSTGRES_HOST is set ({host}): the sandbox is not in use\n",
    )


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"POSTGRES_USER": "me"}, "POSTGRES_USER is set and POSTGRES_HOST is not"),
        ({"MELTANO_ENVIRONMENT": "prod"}, "prod reads a Postgres of your own: set POSTGRES_HOST"),
        ({"POSTGRES_PORT": "99999"}, "POSTGRES_PORT is not a port: 99999"),
        ({"SCALE": "0"}, "Invalid value for '--scale'"),
        ({"SANDBOX_DIR": ".env/sandbox"}, "Not a directory"),
    ],
)
def test_bad_settings_end_in_a_line(
    sandbox: Sandbox, environment: dict[str, str], message: str
) -> None:
    code, _, error = sandbox.run("up", **environment)
    assert code != 0
    assert message in error.splitlines()[-1]


def test_a_tick_needs_data(sandbox: Sandbox) -> None:
    code, _, error = sandbox.run("tick")
    assert (code, error) == (1, "Error: there is no data yet: `sandbox up` makes it\n")

"""What the project promises as a whole: declared in few places, offline, no secret told."""

import contextlib
import http.client
import os
import re
import shutil
import socket
import subprocess

import psycopg
import pytest
import yaml
from headwater_project import ROOT, project_in, until
from headwater_sandbox.postgres import Server

MELTANO_FILES = sorted(ROOT.glob("*/*.meltano.yml"))
PLUGINS = [
    (kind, plugin)
    for path in MELTANO_FILES
    for kind, plugins in yaml.safe_load(path.read_text())["plugins"].items()
    for plugin in plugins
]
MELTANO = yaml.safe_load((ROOT / "meltano.yml").read_text())
# Nothing listens there: who asks the Hub, or any other host, fails.
CLOSED = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:1")
SECRET = "correct-horse-battery"  # pragma: allowlist secret


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    yield from project_in(tmp_path_factory.mktemp("project"), checks=False)


def test_meltano_yml_says_only_what_runs_when_and_where():
    assert MELTANO.keys() <= {
        *("requires_meltano", "project_id", "send_anonymous_usage_stats", "default_environment"),
        *("include_paths", "state_backend", "environments", "jobs", "schedules"),
    }
    assert MELTANO["send_anonymous_usage_stats"] is False
    included = {path for glob in MELTANO["include_paths"] for path in ROOT.glob(glob)}
    assert included == set(MELTANO_FILES)


def test_one_schedule_with_its_timezone():
    (schedule,) = MELTANO["schedules"]
    assert schedule["interval"] == "0 2 * * *"
    assert schedule["job"] in [job["name"] for job in MELTANO["jobs"]]
    assert schedule["annotations"]["headwater"]["timezone"] == "Asia/Ho_Chi_Minh"


@pytest.mark.parametrize(("kind", "plugin"), PLUGINS, ids=[p["name"] for _, p in PLUGINS])
def test_each_plugin_is_defined_here(kind, plugin):
    assert {"name", "namespace", "executable"} <= plugin.keys()
    assert not {"variant", "inherit_from"} & plugin.keys()
    assert kind == "utilities" or {"capabilities", "settings"} <= plugin.keys()
    if "pip_url" not in plugin:
        assert shutil.which(plugin["executable"], path=ROOT / ".venv/bin")


def test_what_has_an_environment_of_its_own_is_locked_with_hashes():
    own = {plugin["name"]: plugin["pip_url"] for _, plugin in PLUGINS if "pip_url" in plugin}
    assert own == {
        "tap-shopify": "--require-hashes --requirement "
        "$MELTANO_PROJECT_ROOT/plugins/requirements/tap-shopify.txt"
    }
    lock = (ROOT / "plugins/requirements/tap-shopify.txt").read_text()
    wanted = (ROOT / "plugins/requirements/tap-shopify.in").read_text().splitlines()[-1]
    assert f"\n{wanted} \\\n    --hash=sha256:" in lock
    packages = re.findall(r"^[\w.-]+==\S+.*\n +(.*)", lock, re.MULTILINE)
    assert len(packages) > 10
    assert all(line.startswith("--hash=sha256:") for line in packages)


def test_nothing_asks_the_hub(project):
    done = project.meltano("compile", **CLOSED)
    assert done.code == 0, done.text
    done = project.meltano("config", "list", "--all", "tap-postgres", **CLOSED)
    assert done.code == 0, done.text


@pytest.mark.parametrize(
    ("plugin", "variables"),
    [
        (
            "tap-postgres",
            {
                "POSTGRES_HOST": ("host", "db.example.com"),
                "POSTGRES_PORT": ("port", "6543"),
                "POSTGRES_USER": ("user", "me"),
                "POSTGRES_DB": ("database", "mine"),
            },
        ),
        (
            "tap-shopify",
            {
                "SHOPIFY_SHOP": ("shop", "acme"),
                "SHOPIFY_CLIENT_ID": ("client_id", "an-app"),
                "SHOPIFY_START_DATE": ("start_date", "2026-01-01T00:00:00Z"),
            },
        ),
        (
            "target-duckdb",
            {
                "DUCKDB_PATH": ("path", "/elsewhere/w.duckdb"),
                "DUCKDB_LOCK_TIMEOUT_SECONDS": ("lock_timeout_seconds", "5"),
            },
        ),
    ],
)
def test_settings_come_from_the_environment_and_from_dotenv(project, plugin, variables):
    def check(done, store):
        for variable, (setting, value) in variables.items():
            said = f"'?{re.escape(value)}'? \\(from the {variable} variable in {store}"
            assert re.search(rf"^{setting} .*current value: {said}", done.text, re.MULTILINE), said

    values = {variable: value for variable, (_, value) in variables.items()}
    list_all = ("config", "list", "--all", plugin)
    check(project.meltano(*list_all, **values), "the environment")
    dotenv = project.root / ".env"
    before = dotenv.read_text()
    dotenv.write_text("".join(f"{variable}={value}\n" for variable, value in values.items()))
    check(project.meltano(*list_all), "`.env`")
    dotenv.write_text(before)


def test_no_secret_is_told(project, tmp_path):
    with Server(tmp_path / "server") as server:
        with psycopg.connect(server.dsn) as connection:
            connection.execute("create schema own; create table own.t (id int primary key)")
            connection.execute("insert into own.t values (1)")
            connection.execute(f"alter role {server.user} password '{SECRET}'")
        environment = {
            "POSTGRES_HOST": server.host,
            "POSTGRES_PORT": str(server.port),
            "POSTGRES_USER": server.user,
            "POSTGRES_PASSWORD": SECRET,
            "POSTGRES_DB": server.database,
            "TAP_POSTGRES_FILTER_SCHEMAS": '["own"]',
            "TAP_POSTGRES__SELECT": '["own-t.*"]',
            "SHOPIFY_SHOP": "rainbow-sandbox",
        }
        project.open_shop()
        # It loads and reconciles; dbt then has no orders to build from.
        built = project.nightly(**environment)
        refused = project.make("run", **environment | {"POSTGRES_DB": "none"})
    assert "Every row arrived." in built.err
    assert 'database "none" does not exist' in refused.err
    assert SECRET not in built.text + refused.text
    files = [
        path
        for folder in (project.output, project.root / ".meltano")
        for path in folder.rglob("*")
        if path.is_file()
    ]
    assert files
    telling = []
    for path in files:
        with contextlib.suppress(FileNotFoundError):  # a journal that is removed just now
            if SECRET.encode() in path.read_bytes():
                telling.append(path)
    assert telling == []


def test_the_notebook_opens_live(project):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    listen = ("--headless", "--no-token", "--host", "127.0.0.1", "--port", str(port))
    editor = project.start("meltano", "invoke", "notebook", "edit", *listen, **CLOSED)

    def answer():
        assert editor.poll() is None, project.end(editor).text
        with contextlib.suppress(ConnectionError):
            connection = http.client.HTTPConnection("127.0.0.1", port)
            connection.request("GET", "/?file=second_orders.py")
            response = connection.getresponse()
            return response.status, response.read().decode()

    try:
        status, page = until(answer, "the notebook's page")
    finally:
        editor.terminate()
        project.end(editor)
    assert status == 200
    assert "<title>Second orders</title>" in page
    assert project.processes("marimo") == []


PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_of_the_pages_exist(page):
    text = page.read_text().replace("\\\n", "")
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert "run" in targets
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)\b(?=[`\s])", text, re.MULTILINE)) <= set(targets)
    names = {plugin["name"]: plugin for _, plugin in PLUGINS}
    commands = {
        f"{name}:{command}"
        for name, plugin in names.items()
        for command in plugin.get("commands", ())
    }
    mappings = {one["name"] for plugin in names.values() for one in plugin.get("mappings", ())}
    for kind, arguments in re.findall(r"\bmeltano (run|invoke) ([^`\n#|]+)", text):
        words = [word for word in arguments.split() if not word.startswith("-")]
        jobs = {job["name"] for job in MELTANO["jobs"]}
        known = names.keys() | commands | mappings | jobs
        if kind == "invoke":
            plugin, *rest = words
            assert plugin in known, arguments
            command = rest[0] if rest else None
            assert command is None or command in names.get(plugin, {}).get("commands", {command: 1})
        else:
            assert set(words) <= known, arguments


@pytest.mark.skipif(not shutil.which("uv"), reason="uv is not on PATH")
def test_the_lock_file_is_in_step():
    done = subprocess.run(
        ["uv", "lock", "--check", "--offline"],
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if k != "VIRTUAL_ENV"},
        capture_output=True,
        text=True,
    )
    if "Network" in done.stderr or "offline" in done.stderr:
        pytest.skip("uv's cache does not have what the lock names")
    assert done.returncode == 0, done.stderr


def test_prod_never_reads_the_sandbox(project):
    done = project.meltano(
        "--environment=prod", "run", "tap-postgres", "target-bigquery", GCP_PROJECT_ID="acme"
    )
    assert done.code == 1
    assert "Error: set host, user, password, database of tap-postgres" in done.text

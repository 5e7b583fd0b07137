"""Each check says what is missing and how to get it, and nothing of what is there."""

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
import requests
from click.testing import CliRunner
from headwater_doctor import cli, google, machine, shopify, source
from headwater_doctor.finding import Finding
from headwater_sandbox.postgres import Server
from headwater_sandbox.shopify import store
from headwater_sandbox.shopify.server import StandIn

ROOT = Path(__file__).parents[4]
SOURCE_DDL = ROOT / "plugins/utilities/sandbox/headwater_sandbox/schema.sql"
PROJECT = {"GCP_PROJECT_ID": "acme"}


def missing(findings: list[Finding]) -> dict[str, str]:
    return {finding.what: finding.remedy for finding in findings if not finding.ok}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory):
    with Server(tmp_path_factory.mktemp("postgres")) as server:
        with psycopg.connect(server.dsn) as connection:
            connection.execute(SOURCE_DDL.read_text())
        yield server


@pytest.fixture
def env(server: Server) -> dict[str, str]:
    return {
        "POSTGRES_HOST": server.host,
        "POSTGRES_PORT": str(server.port),
        "POSTGRES_USER": server.user,
        "POSTGRES_PASSWORD": server.password,
        "POSTGRES_DB": server.database,
    }


class Session:
    """Google, with one answer for each address that contains a key; 404 for the rest."""

    def __init__(self, **answers: tuple[int, dict]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def get(self, url: str, **_: object) -> "Answer":
        self.asked.append(url)
        found = [answer for key, answer in self.answers.items() if key in url.rpartition("/")[2]]
        return Answer(*(found[0] if found else (404, {})))

    post = get


class Answer:
    def __init__(self, status_code: int, body: dict) -> None:
        self.status_code = status_code
        self.body = body

    def json(self) -> dict:
        return self.body


def test_a_sound_machine_and_source_miss_nothing(env: dict[str, str], tmp_path: Path) -> None:
    findings = source.check(ROOT, env) + machine.check_duckdb(tmp_path, {})
    assert missing(findings) == {}
    assert "12 selected tables can be read" in [finding.what for finding in findings]


def test_production_without_settings_names_each_and_asks_nobody(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr("socket.socket.connect", no_network)
    monkeypatch.setattr(psycopg, "connect", no_network)
    for name in os.environ:
        if name.startswith(("POSTGRES_", "SHOPIFY_", "GOOGLE_", "GCP_", "HEADWATER_", "BIGQUERY_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("MELTANO_PROJECT_ROOT", str(ROOT))
    monkeypatch.setenv("MELTANO_ENVIRONMENT", "prod")
    monkeypatch.setenv("MELTANO_STATE_BACKEND_URI", f"file://{ROOT}/output/state")
    monkeypatch.setenv("DBT_TARGET", "bigquery")
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setattr(machine, "check", lambda root: [])
    result = CliRunner().invoke(cli.main)
    assert result.exit_code == 1
    *lines, last = result.output.splitlines()
    assert [line.split()[1] for line in lines] == [
        *("POSTGRES_HOST", "POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_DB", "SHOPIFY_SHOP"),
        *("GCP_PROJECT_ID", "HEADWATER_ENGINEER_GROUP", "HEADWATER_ANALYST_GROUP"),
        *("HEADWATER_REPORTING_GROUP", "MELTANO_STATE_BACKEND_URI", "no"),
    ]
    assert all(line.startswith("MISSING") for line in lines)
    assert "gcloud auth application-default login" in lines[-1]
    assert last == "11 missing in prod."


def test_a_python_that_will_not_do() -> None:
    assert machine._python((3, 12)).ok
    assert "3.13" in machine._python((3, 13)).what
    assert not machine._python((3, 13)).ok


def test_packages_other_than_the_locks(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "x"\nversion = "1"\nrequires-python = ">=3.11"\n'
    )
    assert missing([machine._packages(tmp_path)]) == {
        "the packages are not those of uv.lock": "run uv sync --frozen"
    }


def test_a_folder_that_is_a_file_and_a_full_disk(tmp_path: Path) -> None:
    (tmp_path / "output").write_text("")
    assert f"{tmp_path / 'output'} cannot be written" in missing(
        [machine._writable(tmp_path / "output")]
    )
    assert missing([machine._space(tmp_path, 2**30)]) == {
        "1.0 GiB of disk are free": f"2 are needed beneath {tmp_path}"
    }


def test_a_warehouse_that_is_held(tmp_path: Path) -> None:
    path = tmp_path / "held.duckdb"
    hold = f"import duckdb; c = duckdb.connect({str(path)!r}); print('held', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout.readline() == "held\n"
        found = missing(machine.check_duckdb(tmp_path, {"DUCKDB_PATH": "held.duckdb"}))
        holder.communicate("\n")
    assert list(found) == [f"the warehouse {path} is in use"]
    assert f"(PID {holder.pid})" in found[f"the warehouse {path} is in use"]
    assert missing(machine.check_duckdb(tmp_path, {"DUCKDB_PATH": "held.duckdb"})) == {}


def test_a_warehouse_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "text.duckdb").write_text("not a database" * 1000)
    (said,) = missing(machine.check_duckdb(tmp_path, {"DUCKDB_PATH": "text.duckdb"}))
    assert said.endswith("cannot be opened")


def test_the_sandbox_may_be_down(server: Server, tmp_path: Path) -> None:
    stopped = Server(tmp_path / "stopped")
    stopped.start()
    port = str(stopped.port)
    stopped.stop()
    (finding,) = source.check(ROOT, {"POSTGRES_PORT": port})
    assert finding == Finding("the sandbox's Postgres is down; make run starts it")
    # A server of one's own may not.
    assert missing(source.check(ROOT, {"POSTGRES_HOST": "127.0.0.1", "POSTGRES_PORT": port}))


def test_a_wrong_password_is_refused_and_not_shown(env: dict[str, str]) -> None:
    (finding,) = source.check(ROOT, env | {"POSTGRES_PASSWORD": "wrong"})
    assert "does not let headwater in" in finding.what
    assert "password authentication failed" in finding.remedy
    assert "wrong" not in finding.what + finding.remedy


def test_tables_that_are_not_there_or_closed(server: Server, env: dict[str, str]) -> None:
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute(
            "create role reader login password 'wrong'; grant reader to current_user"
        )
        connection.execute("grant usage on schema rainbow to reader")
        connection.execute("grant select on all tables in schema rainbow to reader")
        connection.execute("alter table rainbow.brands rename to marks")
        try:
            reader = {"POSTGRES_USER": "reader", "POSTGRES_PASSWORD": "wrong"}
            found = missing(source.check(ROOT, env | reader))
        finally:
            connection.execute("alter table rainbow.marks rename to brands")
            connection.execute("drop owned by reader; drop role reader")
    assert found == {
        "rainbow.brands is not in headwater": (
            "deselect it in extract/extractors.meltano.yml, or look into rainbow"
        ),
        **{
            f"reader may not read lana.{name}": (
                f"grant usage on schema lana to reader; grant select on lana.{name} to reader"
            )
            for name in ("customers", "facilities", "transactions")
        },
    }


def test_a_key_file_that_is_not_there(tmp_path: Path) -> None:
    key = tmp_path / "key.json"
    env = {"DBT_TARGET": "bigquery", "GOOGLE_APPLICATION_CREDENTIALS": str(key)}
    assert f"GOOGLE_APPLICATION_CREDENTIALS names no file: {key}" in missing(
        google.check(ROOT, env)
    )
    key.write_text("{}")
    assert list(missing(google.check(ROOT, env))) == ["GCP_PROJECT_ID is not set"]
    # It says nothing of use, which is found before any server is asked.
    assert "Google does not answer" in missing(google._ask_google(ROOT, PROJECT))


@pytest.mark.parametrize(
    ("held", "said"),
    [
        (["bigquery.jobs.create", "bigquery.datasets.create"], []),
        (["bigquery.jobs.create"], ["no bigquery.datasets.create on acme"]),
        ([], ["no bigquery.jobs.create on acme", "no bigquery.datasets.create on acme"]),
    ],
)
def test_what_is_allowed_in_the_project(held: list[str], said: list[str]) -> None:
    session = Session(testIamPermissions=(200, {"permissions": held}))
    found = missing(google.project_access(session, PROJECT, "user:ann@acme.com"))
    assert list(found) == said
    for remedy in found.values():
        assert remedy == (
            "gcloud projects add-iam-policy-binding acme "
            "--member=user:ann@acme.com --role=roles/bigquery.user"
        )


def test_a_project_that_is_not_there() -> None:
    (finding,) = google.project_access(Session(), PROJECT, "user:ann@acme.com")
    assert "(404)" in finding.what
    assert "correct GCP_PROJECT_ID" in finding.remedy


def test_datasets_that_are_closed_or_elsewhere() -> None:
    session = Session(
        marts=(200, {"location": "EU"}), staging=(403, {}), reporting=(200, {"location": "US"})
    )
    env = PROJECT | {"DBT_SCHEMA_PREFIX": "j.doe_"}
    names = google.datasets(ROOT)
    assert {
        "_headwater",
        "raw_lana",
        "raw_rainbow",
        "raw_shopify",
        "staging",
        "marts",
        "reporting",
    } <= {*names}
    found = missing(google.dataset_access(session, env, "user:ann@acme.com", names))
    assert found == {
        "the dataset j_doe_marts is in EU, not US": (
            "set BIGQUERY_LOCATION=EU, or take another project"
        ),
        "no access to the dataset j_doe_staging (403)": (
            'grant `roles/bigquery.dataOwner` on schema `acme`.j_doe_staging to "user:ann@acme.com"'
        ),
    }


def test_the_states_bucket() -> None:
    env = {"MELTANO_STATE_BACKEND_URI": "gs://acme-state/headwater"}
    member = "serviceAccount:headwater@acme.iam.gserviceaccount.com"
    none = google.bucket_access(Session(), env, member)
    assert (none.what, none.remedy) == (
        "no bucket gs://acme-state",
        "gcloud storage buckets create gs://acme-state",
    )
    some = Session(testPermissions=(200, {"permissions": google.OBJECTS[:3]}))
    closed = google.bucket_access(some, env, member)
    assert closed.what == "no storage.objects.list on gs://acme-state"
    assert closed.remedy.endswith(f"--member={member} --role=roles/storage.objectUser")
    every = Session(testPermissions=(200, {"permissions": google.OBJECTS}))
    assert google.bucket_access(every, env, member).ok
    assert "/b/acme-state/iam/" in every.asked[0]


SHOP = shopify.SANDBOX
LOGIN = {"SHOPIFY_SHOP": SHOP, "SHOPIFY_ACCESS_TOKEN": SHOP}


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory):
    stand_in = StandIn(tmp_path_factory.mktemp("shop"), None)
    store.connect(stand_in.store).close()
    stand_in.start()
    yield stand_in
    stand_in.stop()


@pytest.fixture
def ask_shop(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch):
    for name, value in stand_in.environment.items():
        monkeypatch.setenv(name, value)
    yield lambda env: shopify.ask(requests.Session(), env["SHOPIFY_SHOP"], env)
    stand_in.faults("DELETE")


@pytest.mark.parametrize(
    "login",
    [LOGIN, {"SHOPIFY_SHOP": SHOP, "SHOPIFY_CLIENT_ID": SHOP, "SHOPIFY_CLIENT_SECRET": SHOP}],
    ids=["token", "client credentials"],
)
def test_a_shop_that_lets_the_app_read_misses_nothing(ask_shop, login: dict[str, str]) -> None:
    findings = ask_shop(login)
    assert missing(findings) == {}
    assert [finding.what for finding in findings] == [
        *(f"{SHOP} grants {scope}" for scope in shopify.SCOPES),
        f"{SHOP} serves the API version 2026-01",
    ]


@pytest.mark.parametrize(
    ("login", "said"),
    [
        (LOGIN | {"SHOPIFY_ACCESS_TOKEN": "hunter2"}, f"{SHOP} does not let the app in (401)"),
        (LOGIN | {"SHOPIFY_SHOP": "nobody"}, "nobody does not let the app in (404)"),
        (
            {
                "SHOPIFY_SHOP": SHOP,
                "SHOPIFY_CLIENT_ID": SHOP,
                "SHOPIFY_CLIENT_SECRET": "hunter2",  # pragma: allowlist secret
            },
            f"{SHOP} gives the app no token (",
        ),
    ],
)
def test_a_wrong_login_or_shop_is_named_and_not_shown(ask_shop, login, said: str) -> None:
    (finding,) = ask_shop(login)
    assert finding.what.startswith(said)
    assert finding.remedy.startswith("correct SHOPIFY_SHOP")
    assert "hunter2" not in finding.what + finding.remedy


def test_a_scope_that_is_missing_and_a_version_that_is_no_longer_served(ask_shop, stand_in) -> None:
    for kind, value in {"missing-scope": "read_all_orders", "retired": "2026-04"}.items():
        stand_in.faults("POST", {"kind": kind, "value": value, "on": []})
    found = missing(ask_shop(LOGIN))
    assert [what.partition(",")[0] for what in found] == [
        f"{SHOP} does not grant read_all_orders",
        f"{SHOP} answers 2025-07 with 2026-04",
    ]


def test_what_is_said_of_a_shop_before_it_is_asked(tmp_path: Path) -> None:
    (sandbox,) = shopify.check(ROOT, {})
    assert sandbox == Finding("the sandbox stands in for Shopify; make run starts it")
    assert "no login for acme.myshopify.com" in missing(
        shopify.check(ROOT, {"SHOPIFY_SHOP": "acme"})
    )
    # A project whose jobs leave the shop out has none.
    (tmp_path / "meltano.yml").write_text("jobs: [{tasks: [tap-postgres target-duckdb]}]\n")
    assert shopify.check(tmp_path, {"MELTANO_ENVIRONMENT": "prod"}) == []

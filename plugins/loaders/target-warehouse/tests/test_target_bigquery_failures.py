"""What BigQuery may answer, and what becomes of the load: a retry, or one line and no STATE."""

import datetime as dt
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from headwater_target_warehouse import bigquery
from scripted_bigquery import Endpoint
from singer_messages import message, record, schema, state

LINES = (schema("a-b", ["id"], id="integer"), record("a-b", id=1), state({"read": 1}))
ALL = ["stage", "load", "check", "merge", "audit"]
STATE = '{"read":1}'


@pytest.fixture
def endpoint(monkeypatch):
    monkeypatch.setattr(bigquery, "FIRST_DELAY", 0.01)
    with Endpoint() as endpoint:
        yield endpoint


def load(endpoint: Endpoint, *lines: str, **settings: object) -> Result:
    settings = {"project": "p", "api_endpoint": endpoint.url, **settings}
    return CliRunner().invoke(
        bigquery.TargetBigQuery.get_singer_command(),
        ["--config=ENV"],
        input="\n".join(lines or LINES) + "\n",
        env={f"TARGET_BIGQUERY_{name.upper()}": str(value) for name, value in settings.items()},
    )


def work(endpoint: Endpoint) -> list[str]:
    return [kind for kind in endpoint.script.done if kind in ALL]


def assert_loaded(endpoint: Endpoint, result: Result) -> None:
    assert result.exit_code == 0, result.exception or result.stderr
    assert result.stdout.replace(" ", "").strip() == STATE
    assert work(endpoint) == ALL, "each job did its work once, in this order"
    assert not endpoint.script.staged


def assert_refused(endpoint: Endpoint, result: Result, line: str, did: list[str]) -> None:
    assert isinstance(result.exception, SystemExit), repr(result.exception)
    assert result.exit_code == 1
    assert result.stdout == "", "no STATE may leave a failed load"
    (said,) = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert re.fullmatch(line, said), said
    assert work(endpoint) == did
    assert not endpoint.script.staged, "a staging table is left"


def test_all_goes_well(endpoint):
    assert_loaded(endpoint, load(endpoint))


def batch(*paths: Path) -> str:
    manifest = [path.as_uri() for path in paths]
    return message("BATCH", "a-b", encoding={"format": "parquet"}, manifest=manifest)


@pytest.fixture
def files(tmp_path):
    """Two batch files of a row each."""
    paths = [tmp_path / f"{n}.parquet" for n in (1, 2)]
    for n, path in enumerate(paths):
        rows = {"id": [n], "at": [dt.datetime(2026, 1, 1, tzinfo=dt.UTC)], "v": ["a"]}
        pq.write_table(pa.table(rows).cast(pa.schema(FILE)), path)
    return paths


FILE = {"id": pa.int32(), "at": pa.timestamp("us", "UTC"), "v": pa.string()}
BATCHED = schema(
    "a-b",
    ["id"],
    id="integer",
    at={"type": ["string", "null"], "format": "date-time"},
    v="string",
)


def test_batch_files_are_loaded_as_they_are(endpoint, files):
    endpoint.script.rows = 2
    result = load(endpoint, BATCHED, batch(*files), state({"read": 1}))
    assert result.exit_code == 0, result.exception or result.stderr
    assert work(endpoint) == ["stage", "load", "load", "check", "merge", "audit"]
    for file, sent in zip(files, endpoint.script.uploads, strict=True):
        assert file.read_bytes() in sent
    assert not endpoint.script.staged


@pytest.mark.parametrize(
    "why", ["equal keys", "records", "a column named otherwise", "a column more"]
)
def test_batch_files_are_put_in_order_where_that_is_needed(endpoint, files, why):
    lines = [BATCHED, batch(*files), state({"read": 1})]
    endpoint.script.rows = 2
    once = ["stage", "load", "check", "merge", "audit"]
    did = once
    if why == "equal keys":
        endpoint.script.keys = 1
        did = ["stage", "load", "load", "check", *once]
    elif why == "records":
        endpoint.script.rows = 3
        lines.insert(2, record("a-b", id=1))
    elif why == "a column more":
        for file in files:
            pq.write_table(pq.read_table(file).append_column("more", [["x"]]), file)
    else:
        lines[0] = BATCHED.replace('"v"', '"a v"')
        for file in files:
            pq.write_table(pq.read_table(file).rename_columns(["id", "at", "a v"]), file)
    result = load(endpoint, *lines)
    assert result.exit_code == 0, result.exception or result.stderr
    assert work(endpoint) == did
    *_, last = endpoint.script.uploads
    assert not any(file.read_bytes() in last for file in files)
    assert not endpoint.script.staged


def test_jobs_carry_labels_location_cap_and_priority(endpoint, monkeypatch):
    monkeypatch.setenv("MELTANO_RUN_ID", "Run 1")
    monkeypatch.setenv("MELTANO_ENVIRONMENT", "prod")
    result = load(endpoint, location="EU", maximum_bytes_billed=7, priority="batch")
    assert_loaded(endpoint, result)
    for job in endpoint.script.jobs.values():
        configuration = job["configuration"]
        labels = {"app": "headwater", "environment": "prod", "run_id": "run_1"}
        if job["kind"] in ALL:
            labels["stream"] = "a-b"
        assert configuration["labels"] == labels
        assert configuration["jobTimeoutMs"] == "600000"
        if "query" in configuration:
            assert configuration["query"]["maximumBytesBilled"] == "7"
            assert configuration["query"]["priority"] == "BATCH"


@pytest.mark.parametrize(("kind", "did"), [("load", ["stage"]), ("merge", ALL[:3])])
def test_a_job_that_fails_is_one_line(endpoint, kind, did):
    endpoint.script.faults[kind] = ["invalid"]
    assert_refused(endpoint, load(endpoint), r"Error: BigQuery: told to fail: invalid", did)


@pytest.mark.parametrize("reason", ["backendError", "rateLimitExceeded", "jobInternalError"])
@pytest.mark.parametrize("kind", ["load", "merge"])
def test_a_job_that_fails_as_bigquery_may_is_started_anew(endpoint, caplog, kind, reason):
    endpoint.script.faults[kind] = [reason, reason]
    result = load(endpoint)
    assert_loaded(endpoint, result)
    assert len([job for job in endpoint.script.jobs.values() if job["kind"] == kind]) == 3
    assert caplog.text.count(f"told to fail: {reason}; again in") == 2


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("kind", ALL)
def test_a_refused_request_is_sent_again(endpoint, kind, status):
    endpoint.script.faults[kind] = [status, status]
    assert_loaded(endpoint, load(endpoint))


@pytest.mark.parametrize("status", [429, 503])
def test_what_stays_refused_is_one_line(endpoint, status):
    endpoint.script.faults["merge"] = [status] * 1000
    result = load(endpoint, retry_seconds=1)
    assert_refused(endpoint, result, rf"Error: BigQuery: .*told to answer {status}", ALL[:3])


@pytest.mark.parametrize("kind", ALL)
def test_a_dropped_connection_runs_no_job_twice(endpoint, kind):
    """BigQuery has taken the job, and its answer is lost."""
    endpoint.script.faults[kind] = ["drop"]
    assert_loaded(endpoint, load(endpoint))


@pytest.mark.parametrize(("kind", "did"), [("load", ["stage"]), ("merge", ALL[:3])])
def test_a_job_that_outlives_the_client_is_cancelled(endpoint, kind, did):
    endpoint.script.faults[kind] = ["hang"]
    result = load(endpoint, job_timeout_seconds=1)
    line = r"Error: BigQuery: the job headwater_\w+ did not end within 1 s and was cancelled; .*"
    assert_refused(endpoint, result, line, did)
    assert endpoint.script.cancelled == [kind]


def test_rows_that_bigquery_did_not_take_are_missed(endpoint):
    endpoint.script.rows = 0
    line = r"Error: a-b: of 1 rows BigQuery took 0; run again"
    assert_refused(endpoint, load(endpoint), line, ALL[:3])


def test_one_stream_that_fails_holds_back_the_state_of_all(endpoint):
    endpoint.script.faults["merge"] = ["invalid"]
    lines = (*LINES[:2], schema("a-c", ["id"], id="integer"), record("a-c", id=1), LINES[2])
    result = load(endpoint, *lines)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert work(endpoint).count("merge") == work(endpoint).count("audit") == 1
    assert not endpoint.script.staged


def test_another_warehouses_environment_is_one_line(endpoint, monkeypatch):
    monkeypatch.setenv("MELTANO_ENVIRONMENT", "dev")
    line = (
        "Error: target-bigquery loads BigQuery, but environment dev models DuckDB: "
        "set MELTANO_ENVIRONMENT=bigquery, or use target-duckdb"
    )
    assert_refused(endpoint, load(endpoint, dbt_target="duckdb"), line, [])
    assert_loaded(endpoint, load(endpoint, dbt_target="bigquery"))


def test_no_project_is_one_line(endpoint):
    result = load(endpoint, project="")
    line = r"Error: BigQuery needs a project: set GCP_PROJECT_ID, in the environment or \.env"
    assert_refused(endpoint, result, line, [])


def test_no_credentials_are_one_line(endpoint, monkeypatch, tmp_path):
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "missing.json"))
    result = load(endpoint, api_endpoint="https://127.0.0.1:1")
    assert_refused(endpoint, result, r"Error: there are no Google credentials: run `gcloud .*", [])


def test_no_credentials_go_to_an_endpoint_without_encryption(tmp_path):
    key = tmp_path / "key.json"
    key.write_text("{}")
    settings = {"project": "p", "api_endpoint": "http://127.0.0.1:1", "credentials_path": str(key)}
    assert bigquery._credentials(settings, settings["api_endpoint"]).__class__.__name__ == (
        "AnonymousCredentials"
    )


def test_a_secret_is_in_no_message(endpoint):
    result = load(endpoint, api_endpoint="https://127.0.0.1:1", credentials_json='{"a": "secret"')
    assert_refused(endpoint, result, r"Error: credentials_json is not a key in JSON", [])
    assert "secret" not in result.output

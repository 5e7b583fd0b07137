"""The night's numbers, as a webhook receives them."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from click.testing import CliRunner
from headwater_reports import dashboard, notebook
from headwater_reports.cli import main

LINES = [
    "Headwater, 30 June 2026 19:00 UTC: every row arrived. 2 streams: 1,234 rows new, 4 changed, "
    "2 deleted.",
    "168 checks: 166 passed, 2 warned.",
    "Net sales on 30 June 2026: VND 1,234,567,890,123,456.78 in 2 orders; USD 0.10 in 1 order.",
    "Net sales in June 2026: VND 1,234,567,890,123,555.78 in 11 orders.",
    "Lending in June 2026: VND 3,000.50 paid out, VND 4.00 paid back.",
]
SECRET = "T0000-B0000-correct-horse"  # pragma: allowlist secret


@pytest.fixture
def receiver():
    """A webhook, what it has received, and the status that it answers with."""

    class Webhook(BaseHTTPRequestHandler):
        received, status = [], 200

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.received.append((self.path, self.headers["Content-Type"], json.loads(body)))
            self.send_response(self.status)
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Webhook) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        Webhook.url = f"http://127.0.0.1:{server.server_port}/services/{SECRET}"
        yield Webhook
        server.shutdown()


@pytest.fixture
def build(execute, source, tmp_path, monkeypatch):
    """`reports build`, of the exports and the message alone."""
    for pages in (dashboard, notebook):
        monkeypatch.setattr(pages, "build", lambda *_: [])

    def run(**environment):
        arguments = ["build", "--source", str(source), "--output", str(tmp_path / "reports")]
        return CliRunner().invoke(main, arguments, env=environment)

    return run


def test_the_numbers_are_the_marts(build, receiver):
    done = build(
        HEADWATER_WEBHOOK_URL=receiver.url, HEADWATER_REPORTS_URL="https://reports.example/"
    )
    assert done.exit_code == 0, done.output
    text = "\n".join([*LINES, "<https://reports.example/|See the reports>"])
    assert receiver.received == [
        (f"/services/{SECRET}", "application/json", {"text": text}),
    ]
    assert "The webhook was told" in done.output
    assert SECRET not in done.output


def test_lost_rows_come_first(build, execute, receiver):
    execute("update marts.fct_reconciliations set rows_lost = 7 where stream = 'lana-customers'")
    assert build(HEADWATER_WEBHOOK_URL=receiver.url).exit_code == 0
    ((_, _, body),) = receiver.received
    assert body["text"].startswith("Headwater, 30 June 2026 19:00 UTC: 7 rows are lost.")


def test_checks_that_failed_are_named(build, execute, receiver):
    execute(
        "update reporting.pipeline_builds set checks_passed = 160, checks_failed = 1, "
        "checks_skipped = 5, failed_names = 'dim_payments, a_check' where check_count = 168"
    )
    assert build(HEADWATER_WEBHOOK_URL=receiver.url).exit_code == 0
    ((_, _, body),) = receiver.received
    assert body["text"].splitlines()[1] == (
        "168 checks: 160 passed, 2 warned, 1 failed, 5 skipped (dim_payments, a_check)."
    )


def test_nothing_is_told_without_a_webhook(build, receiver):
    done = build()
    assert done.exit_code == 0, done.output
    assert receiver.received == []
    assert "webhook" not in done.output


def test_a_warehouse_without_rows_has_little_to_tell(build, execute, receiver):
    execute(
        "delete from marts.fct_reconciliations; delete from reporting.sales_by_period; "
        "delete from reporting.financial_summary; delete from reporting.pipeline_builds"
    )
    assert build(HEADWATER_WEBHOOK_URL=receiver.url).exit_code == 0
    ((_, _, body),) = receiver.received
    assert body == {"text": "Headwater: nothing has been loaded yet."}


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (f"http://127.0.0.1:1/{SECRET}", "ConnectionRefusedError"),
        (f"{SECRET}", "HEADWATER_WEBHOOK_URL is not an address"),
        (f"http://{SECRET} /", "HEADWATER_WEBHOOK_URL is not an address"),
    ],
)
def test_a_webhook_that_is_not_told_turns_the_run_red(build, tmp_path, url, said):
    done = build(HEADWATER_WEBHOOK_URL=url)
    assert done.exit_code == 1
    assert f"Error: the reports are made, but the webhook: {said}" in done.output
    assert SECRET not in done.output
    assert (tmp_path / "reports/exports/manifest.json").exists()


def test_a_webhook_that_refuses_is_said_without_its_address(build, receiver):
    receiver.status = 404
    done = build(HEADWATER_WEBHOOK_URL=receiver.url)
    assert done.exit_code == 1
    assert "the webhook: it answers 404" in done.output
    assert SECRET not in done.output


def test_what_is_missing_is_named_and_nothing_is_told(build, execute, receiver):
    execute("drop table reporting.customer_report")
    done = build(HEADWATER_WEBHOOK_URL=receiver.url)
    assert done.exit_code == 1
    assert "Error: not in the warehouse: customer_report; the pages say so." in done.output
    assert receiver.received == []


def test_a_mart_that_only_the_message_reads_is_named_too(build, execute, receiver):
    execute("drop table marts.fct_loads")
    done = build(HEADWATER_WEBHOOK_URL=receiver.url)
    assert done.exit_code == 1
    assert "Error: not in the warehouse: fct_loads" in done.output


def test_without_a_warehouse_the_way_to_one_is_said(build, tmp_path):
    (tmp_path / "headwater-read.duckdb").unlink()
    done = build()
    assert done.exit_code == 1
    assert "headwater-read.duckdb to read: load, and run `meltano invoke reconcile publish`" in (
        done.output
    )

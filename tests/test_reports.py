"""The pages in a browser that reaches only loopback, over a warehouse whose sums are known."""
# ruff: noqa: E501  (a table is read across)

import csv
import datetime as dt
import functools
import http.server
import io
import re
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
import yaml
from dbt_project import Project, make_raw_layer
from headwater_project import WITHOUT_CHECKS
from headwater_reports.dashboard import DashboardError, build, load_dashboards
from headwater_reports.warehouse import Reader
from headwater_target_warehouse.duckdb import DuckDBWarehouse
from playwright.sync_api import Browser, Page, expect, sync_playwright
from test_known_answers import CATALOGUE, LOADED, NIGHTS, raw, upsert

ROOT = Path(__file__).parents[1]
ANALYZE = ROOT / "analyze"
PAGES = ["sales", "lending", "customers", "pipeline"]
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
FLAGS = """
    --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync
    --disable-background-networking --disable-component-update
"""
SIZES = {"desktop": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}
# Two runs by night, and what was compared without one. The first lost rows of one stream.
AUDIT = """
    insert into _headwater.loads values
        ('one', 'rainbow-orders', 'raw_rainbow', 'orders', 30, 20, 5, 5, 0, 900, 1.5, '2026-06-20 19:00'),
        ('one', 'lana-facilities', 'raw_lana', 'facilities', 4, 4, 0, 0, 0, 90, 0.25, '2026-06-20 19:01'),
        ('two', 'rainbow-orders', 'raw_rainbow', 'orders', 9, 1, 6, 2, 3, 300, 2.0, '2026-07-01 19:00');
    insert into _headwater.reconciliations by name select * from (values
        ('one', 'rainbow-orders', 'exact', 22, 20, 0, 0, 2, 0.5, timestamp '2026-06-20 19:02'),
        ('one', 'lana-facilities', 'exact', 4, 4, 0, 0, 0, 0.5, timestamp '2026-06-20 19:02'),
        ('two', 'rainbow-orders', 'exact', 23, 23, 1, 4, 0, 0.5, timestamp '2026-07-01 19:02')
    ) as rows (
        run_id, stream, mode, source_rows, warehouse_rows, deleted, later, lost, seconds, reconciled_at
    );
"""
# What dbt did in them: the second began again, and what had failed passed; and by hand, a day later,
# when it did not yet write what a node rests on.
RESULTS = """
    delete from _headwater.dbt_results;
    insert into _headwater.dbt_results values
        ('a', 'one', 'model.x', 'model', 'dim_x', 'success', null, 2.0, '2026-06-20 19:03', '2026-06-20 19:05:30', 'lana,rainbow'),
        ('a', 'one', 'test.y', 'test', 'check_y', 'pass', 0, 0.5, '2026-06-20 19:03', '2026-06-20 19:05:30', 'rainbow'),
        ('a', 'one', 'test.z', 'test', 'check_z', 'warn', 3, 0.5, '2026-06-20 19:03', '2026-06-20 19:05:30', 'lana'),
        ('b', 'two', 'test.y', 'test', 'check_y', 'error', null, 0.5, '2026-07-01 19:03', '2026-07-01 19:04', 'rainbow'),
        ('c', 'two', 'model.x', 'model', 'dim_x', 'error', null, 0.1, '2026-07-01 19:05', '2026-07-01 19:05:20', 'lana,rainbow'),
        ('c', 'two', 'test.y', 'test', 'check_y', 'pass', 0, 0.5, '2026-07-01 19:05', '2026-07-01 19:05:20', 'rainbow'),
        ('c', 'two', 'test.z', 'test', 'check_z', 'fail', 2, 0.5, '2026-07-01 19:05', '2026-07-01 19:05:20', 'lana'),
        ('c', 'two', 'unit.w', 'unit_test', 'w', 'skipped', null, 0, '2026-07-01 19:05', '2026-07-01 19:05:20', ''),
        ('d', null, 'test.z', 'test', 'check_z', 'pass', 0, 0.5, '2026-07-02 08:00', '2026-07-02 08:00:10', null)
"""
# Somebody comes back in the month after.
JULY = {
    "rainbow.orders": """
        order_id | customer_id | payment_id | status | currency_code | created_at       | updated_at
        201      | 1           | 1          | paid   | VND           | 2026-07-01 10:00 | 2026-07-01 10:00
    """,
    "rainbow.order_details": """
        order_id | product_id | quantity | price  | updated_at
        201      | 2          | 1        | 120000 | 2026-07-01 10:00
    """,
}
NEWEST_LOAD = dt.datetime(2026, 7, 1, 19, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def warehouse(parsed: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The orders whose facts test_known_answers works out by hand, as after the third night."""
    project = parsed.copy(tmp_path_factory.mktemp("reports"))
    make_raw_layer(project.warehouse, raw(CATALOGUE | NIGHTS[0], LOADED[0]))
    for night, loaded in zip(NIGHTS[1:], LOADED[1:], strict=True):
        upsert(project, raw(night, loaded))
    upsert(project, raw(JULY, LOADED[-1]))
    with DuckDBWarehouse(project.warehouse) as opened:
        opened.create_audit_tables()
    project.execute(AUDIT)
    result = project.dbt("build", **WITHOUT_CHECKS)
    assert result.returncode == 0, result.stdout
    project.execute(RESULTS)
    return project.warehouse


def made(warehouse: Path, output: Path) -> Path:
    """The folder with the pages of a warehouse."""
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        build(Reader(lambda sql: connection.execute(sql).to_arrow_table()), ANALYZE, output)
    return output


def changed(warehouse: Path, directory: Path, sql: str) -> Path:
    """A copy of the warehouse in which something is otherwise; its pages' folder."""
    copy = directory / "headwater.duckdb"
    shutil.copyfile(warehouse, copy)
    with duckdb.connect(str(copy)) as connection:
        connection.execute(sql)
    return made(copy, directory / "pages")


@pytest.fixture(scope="module")
def reports(warehouse: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(warehouse, tmp_path_factory.mktemp("pages"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM:
        pytest.skip("there is no Chromium on PATH: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        yield browser
        browser.close()


@dataclass
class Visit:
    """A page in the browser, and all that it did: `said` on the console, `asked` of any host."""

    page: Page
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def choose(self, **filters: str) -> None:
        for name, value in filters.items():
            self.page.select_option(f"select[name={name}]", value)
        self.drawn()

    def drawn(self) -> None:
        expect(self.page.locator("body")).to_have_attribute("data-state", "drawn")

    def headline(self) -> dict[str, str]:
        """The exact values, by column."""
        return self.page.eval_on_selector_all(
            ".number",
            "all => Object.fromEntries(all.map(x => [x.dataset.column, x.dataset.value]))",
        )

    def panel(self, title: str):
        return self.page.locator(".panel", has=self.page.locator("h2", has_text=title)).first

    def csv(self, title: str) -> list[dict[str, str]]:
        with self.page.expect_download() as download:
            self.panel(title).locator(".csv").click()
        text = Path(download.value.path()).read_text(encoding="utf-8")
        return list(csv.DictReader(io.StringIO(text)))


@pytest.fixture
def visit(browser: Browser) -> Iterator[functools.partial]:
    """Opens a page of a folder, served on loopback."""
    opened = []

    def open_(
        folder: Path, name: str, size: str = "desktop", now: dt.datetime | None = None, **context
    ) -> Visit:
        handler = functools.partial(_Quiet, directory=str(folder))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        session = browser.new_context(viewport=SIZES[size], **context)
        opened.append((server, session))
        page = session.new_page()
        visit = Visit(page)
        page.on("console", lambda message: visit.said.append(message.text))
        page.on("pageerror", lambda error: visit.said.append(str(error)))
        page.on("request", lambda request: visit.asked.append(request.url))
        page.on("requestfailed", lambda request: visit.failed.append(request.url))
        page.on(
            "response",
            lambda answer: answer.ok or visit.failed.append(f"{answer.status} {answer.url}"),
        )
        host = re.compile(r"^https?://(?!127\.0\.0\.1[:/])")
        session.route(host, lambda route: route.abort())
        page.clock.set_fixed_time(now or NEWEST_LOAD + dt.timedelta(hours=2))
        file, _, fragment = name.partition("#")
        page.goto(f"http://127.0.0.1:{server.server_port}/{file}.html#{fragment}")
        return visit

    yield open_
    for server, session in opened:
        session.close()
        server.shutdown()
        server.server_close()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def query(warehouse: Path, sql: str) -> list[dict]:
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        return connection.execute(sql).to_arrow_table().to_pylist()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", [*PAGES, "index"])
def test_a_page_paints_and_asks_nobody(reports: Path, visit, name: str, size: str) -> None:
    seen = visit(reports, name, size)
    if name != "index":
        seen.drawn()
        charts = seen.page.locator(".panel [role=graphics-document]")
        declared = yaml.safe_load((ANALYZE / "dashboards" / f"{name}.yml").read_text())["panels"]
        assert charts.count() == len(declared)
        for chart, panel in zip(charts.all(), declared, strict=True):
            assert chart.get_attribute("aria-label").startswith(panel["title"])
            assert chart.locator("svg [role=graphics-symbol]").count() > 0
    assert seen.said == []
    assert seen.failed == []
    assert [re.sub(r"^http://127.0.0.1:\d+/|#$", "", url) for url in seen.asked] == [f"{name}.html"]
    assert seen.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert (reports / f"{name}.html").stat().st_size < 3_000_000
    assert "Data loaded 1 July 2026, 19:00" in seen.page.locator("footer").inner_text()


SALES = """
    select
        sum(extended_net_amount) as net_sales,
        sum(extended_net_amount) - sum(refunded_amount) as net_after_returns,
        count(distinct order_key) as order_count,
        count(distinct nullif(person_key, 'unknown')) as customer_count,
        round(sum(extended_net_amount) / count(distinct order_key), 2) as average_order_value,
        round(sum(extended_discount_amount) / sum(extended_sales_amount), 6) as discount_rate,
        round(sum(refunded_amount) / sum(extended_net_amount), 6) as return_rate
    from marts.fact_sales join marts.dim_customers using (customer_key)
    where currency_code = '{currency_code}' and '{channel}' in (channel, 'all')
        and sold_on between '{first}' and '{last}'
"""
CUSTOMERS = """
    with orders as (
        select distinct person_key, order_key, channel, currency_code, sold_on
        from marts.fact_sales join marts.dim_customers using (customer_key)
        where person_key != 'unknown' and currency_code = '{currency_code}'
            and '{channel}' in (channel, 'all')
    ),
    buyers as (
        select person_key, count(*) as orders,
            person_key not in (select person_key from orders where sold_on < '{first}') as is_new
        from orders where sold_on between '{first}' and '{last}' group by person_key
    )
    select count(*) as customer_count, count(*) filter (is_new) as new_customer_count,
        count(*) filter (not is_new) as returning_customer_count,
        round(count(*) filter (orders > 1) / count(*), 6) as repeat_rate,
        round(sum(orders) / count(*), 6) as orders_per_customer
    from buyers
"""
LENDING = """
    with moved as (
        select * from marts.fct_transactions where currency_code = '{currency_code}'
    ),
    opened as (
        select * from marts.fct_facilities
        where currency_code = '{currency_code}' and opened_on between '{first}' and '{last}'
    )
    select
        (select coalesce(sum(amount), 0) from moved where transaction_type = 'DISBURSAL'
            and transacted_at::date between '{first}' and '{last}') as disbursals,
        (select coalesce(sum(amount), 0) from moved where transaction_type = 'PAYMENT'
            and transacted_at::date between '{first}' and '{last}') as payments,
        (select sum(case transaction_type when 'DISBURSAL' then amount when 'PAYMENT' then -amount end)
            from moved where transacted_at::date <= '{last}') as outstanding_to_date,
        (select count(*) from opened) as facility_count,
        (select coalesce(sum(principal_amount), 0) from opened) as principal_amount,
        (select round(sum(repaid_amount) / sum(disbursed_amount), 6) from opened) as repaid_rate,
        (select round(count(*) filter (status = 'DEFAULTED') / count(*), 6) from opened) as default_rate
"""
PIPELINE = """
    with loads as (
        select * from _headwater.loads where '{source_name}' in (replace(table_schema, 'raw_', ''), 'all')
    ),
    compared as (
        select * from _headwater.reconciliations where '{source_name}' in (split_part(stream, '-', 1), 'all')
    ),
    results as (
        select *, coalesce(run_id, invocation_id) as run from _headwater.dbt_results
        where '{source_name}' = 'all' or source_names is null
            or list_contains(string_split(source_names, ','), '{source_name}')
    )
    select
        sum(rows_received)::int as rows_received,
        sum(rows_inserted)::int as rows_inserted,
        sum(rows_updated)::int as rows_updated,
        (select sum(lost)::int from compared
            where reconciled_at::date between '{first}' and '{last}') as rows_lost,
        sum(rows_deleted)::int + (select sum(deleted)::int from compared
            where reconciled_at::date between '{first}' and '{last}') as rows_deleted,
        (select count(distinct run) from (
            select run_id as run, loaded_at::date as day from loads
            union all
            select run, ended_at::date from results
        ) where day between '{first}' and '{last}') as run_count,
        (select count(distinct run) from (
            select run_id as run, reconciled_at::date as day from compared where lost > 0
            union all
            select run, ended_at::date from results where status in ('fail', 'error')
        ) where day between '{first}' and '{last}') as failed_run_count
    from loads where loaded_at::date between '{first}' and '{last}'
"""
DAYS = {
    "all": ("1900-01-01", "2100-01-01"),
    "2026": ("2026-01-01", "2026-12-31"),
    "2026-Q2": ("2026-04-01", "2026-06-30"),
    "2026-Q3": ("2026-07-01", "2026-09-30"),
    "2026-05": ("2026-05-01", "2026-05-31"),
    "2026-06": ("2026-06-01", "2026-06-30"),
    "2026-07": ("2026-07-01", "2026-07-31"),
}


@pytest.mark.parametrize(
    ("name", "sql", "chosen"),
    [
        ("sales", SALES, {"period": "all", "channel": "all", "currency_code": "VND"}),
        ("sales", SALES, {"period": "2026-06", "channel": "shopify", "currency_code": "VND"}),
        ("sales", SALES, {"period": "2026", "channel": "app", "currency_code": "USD"}),
        ("customers", CUSTOMERS, {"period": "all", "channel": "all", "currency_code": "VND"}),
        ("customers", CUSTOMERS, {"period": "2026-Q2", "channel": "app", "currency_code": "VND"}),
        ("lending", LENDING, {"period": "all", "currency_code": "VND"}),
        ("lending", LENDING, {"period": "2026-05", "currency_code": "VND"}),
        ("lending", LENDING, {"period": "2026-05", "currency_code": "USD"}),
        ("lending", LENDING, {"period": "2026-06", "currency_code": "VND"}),
        ("pipeline", PIPELINE, {"period": "all", "source_name": "all"}),
        ("pipeline", PIPELINE, {"period": "all", "source_name": "lana"}),
        ("pipeline", PIPELINE, {"period": "2026-06", "source_name": "all"}),
        ("pipeline", PIPELINE, {"period": "2026-06", "source_name": "lana"}),
        ("pipeline", PIPELINE, {"period": "2026-07", "source_name": "rainbow"}),
    ],
)
def test_headline_numbers_are_the_marts(
    reports: Path, warehouse: Path, visit, name: str, sql: str, chosen: dict[str, str]
) -> None:
    """Whatever is chosen; the SQL asks the facts, not the views that the page reads."""
    first, last = DAYS[chosen["period"]]
    (expected,) = query(warehouse, sql.format(first=first, last=last, **chosen))
    seen = visit(reports, name)
    seen.choose(**chosen)
    shown = seen.headline()
    assert {column: Decimal(shown[column]) if shown[column] else None for column in expected} == {
        column: None if value is None else Decimal(str(value)) for column, value in expected.items()
    }
    assert seen.said == []


def test_headline_numbers_are_read_with_their_units(reports: Path, visit) -> None:
    seen = visit(reports, "lending#period=2026-06&customer_type=all&currency_code=VND")
    seen.drawn()
    texts = seen.page.locator(".number").all_inner_texts()
    assert [" ".join(text.split()) for text in texts[:2]] == [
        "Paid out VND 1M 1,000,000 ▲ 100.0 % on May 2026",
        "Paid back VND 300K 300,000 ▼ 40.0 % on May 2026",
    ]
    assert seen.page.locator("#shown").inner_text() == "1 June 2026 to 12 June 2026"


def test_a_large_headline_number_is_not_broken(reports: Path, visit) -> None:
    seen = visit(reports, "sales")
    seen.drawn()
    in_its_card = seen.page.locator(".exact:not(:empty)").evaluate_all(
        """all => all.map(each => {
            each.textContent = "8,775,890,838,910.03";
            const text = document.createRange();
            text.selectNodeContents(each);
            const [line, ...others] = text.getClientRects();
            const card = each.closest(".number").getBoundingClientRect();
            return others.length === 0 && line.left > card.left && line.right < card.right;
        })"""
    )
    assert in_its_card == [True] * 3


def test_the_index_shows_what_the_pages_open_with(reports: Path, visit) -> None:
    cards = visit(reports, "index").page.locator(".card").all_inner_texts()
    for name, card in zip(PAGES, cards, strict=False):
        seen = visit(reports, name)
        seen.drawn()
        facts = re.findall(r"\n(.+)\n([\d,]+)(?:\.\d)?( %| [A-Z]{3})?(?=\n|$)", card)
        numbers = [number.inner_text() for number in seen.page.locator(".number").all()]
        assert len(facts) == 3
        for (label, value, unit), shown in zip(facts, numbers, strict=False):
            assert shown.startswith(label if unit == " %" else f"{label}{unit}")
            assert value in shown


BUILDS = {
    "all": {
        "one": ("warned", "2", "1", "1", "0", "0", "1", "0", "", "150"),
        "two": ("failed", "3", "1", "0", "1", "1", "0", "1", "check_z, dim_x", "80"),
        "d": ("passed", "1", "1", "0", "0", "0", "0", "0", "", "10"),
    },
    # Of the 3 s and 1.6 s that the nodes of the runs took, 2.5 s and 0.6 s are theirs.
    "lana": {
        "one": ("warned", "1", "0", "1", "0", "0", "1", "0", "", "125"),
        "two": ("failed", "1", "0", "0", "1", "0", "0", "1", "check_z, dim_x", "30"),
        "d": ("passed", "1", "1", "0", "0", "0", "0", "0", "", "10"),
    },
    # What had failed and then passed took its time twice.
    "rainbow": {
        "one": ("passed", "1", "1", "0", "0", "0", "1", "0", "", "125"),
        "two": ("failed", "1", "1", "0", "0", "0", "0", "1", "dim_x", "55"),
        "d": ("passed", "1", "1", "0", "0", "0", "0", "0", "", "10"),
    },
}
# What a run lost makes it red as well, and that was of one source.
OUTCOMES = {
    "all": {"one": "failed", "two": "failed", "d": "passed"},
    "lana": {"one": "warned", "two": "failed", "d": "passed"},
    "rainbow": {"one": "failed", "two": "failed", "d": "passed"},
}
FAILURES = {
    "all": [("check_z", "1", "1"), ("dim_x", "1", "0")],
    "lana": [("check_z", "1", "1"), ("dim_x", "1", "0")],
    "rainbow": [("dim_x", "1", "0")],
}


@pytest.mark.parametrize("source", BUILDS)
def test_a_run_that_failed_is_shown_as_failed(reports: Path, visit, source: str) -> None:
    seen = visit(reports, "pipeline")
    seen.choose(source_name=source)
    shown = (
        *("outcome", "check_count", "checks_passed", "checks_warned", "checks_failed"),
        *("checks_skipped", "models_built", "models_not_built", "failed_names", "seconds"),
    )
    builds = {row["run_id"]: tuple(row[n] for n in shown) for row in seen.csv("Checks by run")}
    assert builds == BUILDS[source]
    assert seen.panel("Checks by run").locator("svg").text_content().count("✕") == 1
    outcomes = {row["run_id"]: row["outcome"] for row in seen.csv("Rows by night")}
    assert outcomes == OUTCOMES[source]
    took = {row["run_id"]: row["build_seconds"] for row in seen.csv("Duration")}
    assert took == {run: build[-1] for run, build in BUILDS[source].items()}
    failed = [
        (r["node_name"], r["failed_count"], r["warned_count"]) for r in seen.csv("What failed")
    ]
    assert failed == FAILURES[source]
    seen.choose(period="2026-06")
    assert [row["run_id"] for row in seen.csv("Checks by run")] == ["one"]
    if source == "rainbow":
        failed = seen.panel("What failed").locator(".nothing").inner_text()
        assert failed == "Nothing failed or warned."
    else:
        (failed,) = seen.csv("What failed")
        assert (failed["node_name"], failed["failed_count"]) == ("check_z", "0")


def test_a_run_that_was_not_built_is_shown_as_that(warehouse: Path, tmp_path: Path, visit) -> None:
    folder = changed(
        warehouse,
        tmp_path,
        "delete from _headwater.dbt_results where run_id = 'two' or run_id is null",
    )
    seen = visit(folder, "pipeline#period=2026-07")
    seen.drawn()
    assert [(r["run_id"], r["outcome"]) for r in seen.csv("Rows by night")] == [
        ("two", "not built")
    ]
    failed = seen.panel("What failed")
    assert failed.locator(".nothing").inner_text() == "Nothing failed or warned."


def test_filters_change_every_table_and_stay_in_the_address(reports: Path, visit) -> None:
    seen = visit(reports, "sales")
    seen.drawn()
    assert {row["channel"] for row in seen.csv("Channel mix")} == {"app", "shopify"}
    assert [row["period"] for row in seen.csv("Net sales over time")] == ["2026-06", "2026-07"]
    seen.choose(period="2026-06", channel="shopify", currency_code="USD")
    assert seen.csv("Channel mix") == [
        {
            "period": "2026-06",
            "channel": "shopify",
            "currency_code": "USD",
            "order_count": "1",
            "customer_count": "0",
            "net_sales": "29",
            "net_after_returns": "29",
            "average_order_value": "29",
        }
    ]
    assert [row["period"] for row in seen.csv("Net sales over time")] == ["2026-06-03"]
    panel = seen.panel("Day of the week")
    panel.locator("summary").click()
    expect(panel.locator("tbody tr")).to_have_text(["Wednesday1329"])
    seen.page.reload()
    seen.drawn()
    assert seen.headline()["net_sales"] == "29"


@pytest.mark.parametrize("name", PAGES)
def test_every_filter_acts_on_every_chart(reports: Path, visit, name: str) -> None:
    """Each row that a chart is drawn of is of what is chosen, and there is a choice with rows."""
    declared = yaml.safe_load((ANALYZE / "dashboards" / f"{name}.yml").read_text())
    first = visit(reports, name)
    first.drawn()
    for column in declared["filters"]:
        options = first.page.locator(f"select[name={column}] option")
        drawn = set()
        for value in options.evaluate_all("all => all.map(option => option.value)"):
            # A page of its own: Chromium lets one have but so many downloads.
            seen = visit(reports, f"{name}#{column}={value}")
            seen.drawn()
            for panel in declared["panels"]:
                if seen.panel(panel["title"]).locator(".csv").is_hidden():
                    continue
                drawn.add(panel["title"])
                of_rows = {row[column] for row in seen.csv(panel["title"])}
                if panel.get("split") != column:
                    assert of_rows == {value}, panel["title"]
                elif column == "period":
                    since, until = DAYS[value]
                    assert all(since[:7] <= period <= until for period in of_rows), panel["title"]
                else:
                    assert ("all" in of_rows, value in of_rows) == (False, value != "all")
        assert drawn == {panel["title"] for panel in declared["panels"]}


SYSTEMS = """
    select systems, count(*) as person_count,
        count(*) filter (person_key in (
            select person_key from marts.fact_sales join marts.dim_customers using (customer_key)
            where currency_code = '{currency_code}' and '{channel}' in (channel, 'all')
                and sold_on between '{first}' and '{last}'
        )) as customer_count
    from (
        select person_key, concat_ws('+',
            case when rainbow_customer_id is not null then 'App' end,
            case when shopify_customer_id is not null then 'Shopify' end,
            case when lana_customer_id is not null then 'Lana' end) as systems
        from marts.dim_customers where is_current and person_key != 'unknown'
    )
    group by systems
"""
REPORT = """
    select person_key, bought.order_count, net_after_returns, bought.most_recent_order_at,
        lifetime_value, facility_count, total_outstanding
    from (
        select person_key, count(distinct orders.order_key) as order_count,
            coalesce(sum(extended_net_amount - refunded_amount), 0) as net_after_returns,
            max(ordered_at) as most_recent_order_at
        from marts.fct_orders as orders
        join marts.dim_customers as customers on orders.customer_key = customers.customer_key
        left join marts.fact_sales as sales on orders.order_key = sales.order_key
        where is_sale and person_key != 'unknown' and orders.currency_code = '{currency_code}'
            and '{channel}' in (orders.channel, 'all')
            and ordered_at::date between '{first}' and '{last}'
        group by person_key
    ) as bought
    join reporting.customer_report as report using (person_key)
    where report.currency_code = '{currency_code}'
    order by net_after_returns desc, bought.order_count desc, person_key
"""


@pytest.mark.parametrize(
    "chosen",
    [
        {"period": "all", "channel": "all", "currency_code": "VND"},
        {"period": "all", "channel": "app", "currency_code": "VND"},
        {"period": "all", "channel": "all", "currency_code": "USD"},
        {"period": "2026-06", "channel": "shopify", "currency_code": "VND"},
        {"period": "2026-07", "channel": "all", "currency_code": "VND"},
    ],
)
def test_people_are_those_of_the_filters(
    reports: Path, warehouse: Path, visit, chosen: dict[str, str]
) -> None:
    """By the facts: who bought, by the systems that know them, and the customer report of it."""
    first, last = DAYS[chosen["period"]]
    seen = visit(reports, "customers")
    seen.choose(**chosen)
    shown = seen.csv("Known to several systems")
    found = query(warehouse, SYSTEMS.format(first=first, last=last, **chosen))
    assert {
        re.sub(" and |, ", "+", row["systems"].removesuffix(" only")): (
            int(row["person_count"]),
            int(row["customer_count"]),
        )
        for row in shown
    } == {row["systems"]: (row["person_count"], row["customer_count"]) for row in found}
    assert sum(int(row["customer_count"]) for row in shown) == int(
        seen.headline()["customer_count"]
    )
    expected = query(warehouse, REPORT.format(first=first, last=last, **chosen))
    report = seen.csv("The customer report")
    assert [row["customer_rank"] for row in report] == [str(n + 1) for n in range(len(expected))]
    assert [{name: row[name] for name in expected[0]} for row in report] == [
        {name: plain(value) for name, value in row.items()} for row in expected
    ]


@pytest.mark.parametrize("name", PAGES)
def test_each_chart_has_its_rows_as_table_and_csv(
    reports: Path, warehouse: Path, visit, name: str
) -> None:
    """The CSV is the view's rows for what is chosen, to the last digit; the table is the same rows."""
    seen = visit(reports, name)
    seen.drawn()
    declared = yaml.safe_load((ANALYZE / "dashboards" / f"{name}.yml").read_text())
    for panel in declared["panels"]:
        rows = seen.csv(panel["title"])
        assert rows, panel["title"]
        found = seen.panel(panel["title"])
        found.locator("summary").click()
        expect(found.locator("tbody tr")).to_have_count(len(rows))
        assert found.locator("th").count() == len(panel["columns"])
        names = list(rows[0])
        of_view = {
            tuple("" if row[n] is None else plain(row[n]) for n in names)
            for row in query(warehouse, f"select * from reporting.{panel['view']}")
        }
        assert {tuple(row.values()) for row in rows} <= of_view
    assert seen.said == []


def plain(value: object) -> str:
    match value:
        case Decimal():
            return f"{value.normalize():f}"
        case dt.datetime():
            return value.isoformat(timespec="seconds") + "Z"
        case _:
            return str(value)


def test_a_number_that_no_double_holds_is_shown_exactly(
    warehouse: Path, tmp_path: Path, visit
) -> None:
    folder = changed(
        warehouse,
        tmp_path,
        "update marts.fact_sales set extended_net_amount = 9007199254740993.07 "
        "where sale_key = 'app-101-1'",
    )
    seen = visit(folder, "sales")
    seen.drawn()
    (row,) = query(
        tmp_path / "headwater.duckdb",
        "select sum(extended_net_amount) as net from marts.fact_sales where currency_code = 'VND'",
    )
    assert seen.headline()["net_sales"] == plain(row["net"])
    assert f"{row['net']:,}" in seen.page.locator(".number").first.inner_text()


@pytest.mark.parametrize(("hours", "is_stale"), [(25, False), (27, True)])
@pytest.mark.parametrize("name", [*PAGES, "index"])
def test_a_page_says_that_its_data_is_old(
    reports: Path, visit, name: str, hours: int, is_stale: bool
) -> None:
    seen = visit(reports, name, now=NEWEST_LOAD + dt.timedelta(hours=hours))
    notice = seen.page.locator("#stale")
    assert notice.is_visible() == is_stale
    if is_stale:
        assert notice.inner_text() == (
            "No data has come for 27 hours: these numbers are as of 1 July 2026, 19:00 UTC."
        )


def test_a_page_without_rows_says_so(warehouse: Path, tmp_path: Path, visit) -> None:
    folder = changed(
        warehouse, tmp_path, "delete from marts.fact_sales; delete from marts.fct_loads"
    )
    seen = visit(folder, "sales")
    seen.drawn()
    assert set(seen.page.locator(".nothing:visible").all_inner_texts()) == {"There is no data yet."}
    assert seen.page.locator("select:visible").count() == 0
    assert seen.page.locator(".chart:visible").count() == 0
    assert set(seen.headline().values()) == {""}
    assert "No data has been loaded yet" in seen.page.locator("#stale").inner_text()
    assert seen.said == []


def test_a_choice_without_rows_says_so(reports: Path, visit) -> None:
    seen = visit(reports, "lending")
    seen.choose(period="2026-06", currency_code="USD")
    assert seen.panel("Largest facilities").locator(".nothing").inner_text() == (
        "Nothing for Period: June 2026, Customers: All, Currency: USD."
    )


def test_a_page_says_which_report_is_missing(warehouse: Path, tmp_path: Path, visit) -> None:
    folder = changed(
        warehouse,
        tmp_path,
        "drop view reporting.top_sellers_by_period; drop table marts.dim_payments; "
        # One that a filter of the page would not reach.
        "create table of_days as select * exclude (channel) from reporting.weekday_sales_by_period; "
        "create or replace view reporting.weekday_sales_by_period as from main.of_days",
    )
    seen = visit(folder, "sales")
    seen.drawn()
    assert seen.page.locator(".nothing:visible").all_inner_texts() == [
        "The report weekday_sales_by_period has not been built: make run builds it.",
        "The report payment_methods_by_period has not been built: make run builds it.",
        "The report top_sellers_by_period has not been built: make run builds it.",
    ]
    assert seen.headline()["net_sales"]
    assert seen.said == []


def test_a_page_is_dark_where_the_reader_is(reports: Path, visit) -> None:
    colours = {
        scheme: visit(reports, "sales", color_scheme=scheme).page.evaluate(
            "[document.body, document.querySelector('h1')].map("
            "(x, i) => getComputedStyle(x)[i ? 'color' : 'backgroundColor'])"
        )
        for scheme in ("light", "dark")
    }
    assert colours == {
        "light": ["rgb(246, 247, 249)", "rgb(21, 32, 43)"],
        "dark": ["rgb(15, 20, 25)", "rgb(231, 236, 241)"],
    }


@pytest.mark.parametrize("name", PAGES)
def test_a_page_prints_whole_and_light(reports: Path, visit, name: str) -> None:
    seen = visit(reports, name, color_scheme="dark")
    seen.drawn()
    page = seen.page
    charts = """
        [...document.querySelectorAll(".chart")].map(chart => {
            const [inner, outer] = [chart.querySelector("svg"), chart].map(x => x.getBoundingClientRect());
            return [inner.left - outer.left, outer.right - inner.right, inner.width].map(Math.round);
        })
    """
    on_screen = page.evaluate(charts)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    # As wide as the paper, which is then shrunk to four fifths.
    main = round(186 / 25.4 * 96 / 0.8)
    assert page.evaluate("document.querySelector('main').offsetWidth") == main
    on_paper = page.evaluate(charts)
    assert len(on_paper) == len(on_screen) > 0
    for (left, right, width), (*_, former) in zip(on_paper, on_screen, strict=True):
        assert (left, right) == (0, 0)
        assert main / 3 < width < min(main, former)
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator("nav").is_visible()
    assert not page.locator(".csv").first.is_visible()
    select = page.locator("select").first
    assert select.is_visible()
    assert select.evaluate("x => getComputedStyle(x).appearance") == "none"
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    page.emulate_media(media="screen")
    assert page.evaluate(charts) == on_screen
    assert seen.said == []


def test_a_page_is_replaced_whole(reports: Path, tmp_path: Path) -> None:
    """A declaration that is wrong leaves the pages of the night before."""
    source = tmp_path / "analyze"
    shutil.copytree(ANALYZE, source)
    path = source / "dashboards" / "sales.yml"
    path.write_text(path.read_text().replace("columns: [period,", "columns: [perod,", 1))
    with pytest.raises(DashboardError, match=r"sales.yml: .*: columns.yml does not name perod"):
        load_dashboards(source)
    path.write_text(path.read_text().replace("perod", "period").replace("type: area", "type: aera"))
    output = tmp_path / "pages"
    shutil.copytree(reports, output)
    before = {path: path.read_bytes() for path in output.iterdir()}
    with pytest.raises(DashboardError, match="sales.yml: Net sales over time: "):
        build(Reader(lambda sql: pytest.fail("nothing is read")), source, output)
    assert {path: path.read_bytes() for path in output.iterdir()} == before

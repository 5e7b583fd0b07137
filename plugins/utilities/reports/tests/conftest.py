import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

ANALYZE = Path(__file__).parents[4] / "analyze"
# Two runs, of which the newest is told; seven people, and how long they were waited for.
VIEWS = """
create schema marts;
create schema reporting;
create table reporting.data_freshness as select timestamp '2026-06-30 19:00:00' as loaded_at;
create table reporting.total_sales as
from (values
    ('shopify', 'VND', 2, '1234567890123456.78'::decimal(38, 2)),
    ('app', 'USD', 1, 0.1::decimal(38, 2)),
    ('app', 'VND', 3, null)
) as v (channel, currency_code, order_count, net_sales);
create table reporting.customer_report as
from (values ('p1', timestamp '2026-01-02 03:04:05.000006', date '2026-01-02'))
    as v (person_key, first_order_at, last_facility_opened_on);
create table reporting.second_orders as
from (values
    ('app', date '2026-01-01', true, 1, 1),
    ('app', date '2026-01-01', false, 2, 1),
    ('app', date '2026-01-01', true, 3, 2),
    ('app', date '2026-04-01', true, 5, 1),
    ('app', date '2026-04-01', false, 6, 1),
    ('app', date '2026-01-01', false, 400, 1)
) as v (channel, first_quarter, has_come_back, day_count, person_count);
create table marts.fct_reconciliations as
from (values
    ('run-1', 'rainbow-orders', 0, 5, timestamp '2026-06-29 19:00:00'),
    ('run-2', 'rainbow-orders', 0, 1, timestamp '2026-06-30 19:00:00'),
    ('run-2', 'lana-customers', 0, 0, timestamp '2026-06-30 19:00:00')
) as v (run_id, stream, rows_lost, rows_deleted, reconciled_at);
create table marts.fct_loads as
from (values
    ('run-1', 'rainbow-orders', 1000, 0, 0),
    ('run-2', 'rainbow-orders', 1200, 3, 1),
    ('run-2', 'rainbow-orders', 34, 1, 0)
) as v (run_id, stream, rows_inserted, rows_updated, rows_deleted);
create table reporting.pipeline_builds as
from (values
    ('all', 100, 90, 0, 10, 0, 'a_check', timestamp '2026-06-29 19:05:00'),
    ('all', 168, 166, 2, 0, 0, null, timestamp '2026-06-30 19:05:00'),
    ('lana', 20, 20, 0, 0, 0, null, timestamp '2026-06-30 19:05:00'),
    ('all', 0, 0, 0, 0, 0, null, timestamp '2026-06-30 19:06:00')
) as v (
    source_name, check_count, checks_passed, checks_warned, checks_failed, checks_skipped,
    failed_names, ended_at
);
create table reporting.sales_by_period as
from (values
    ('day', '2026-06-29', 'all', 'VND', 9, 99.00),
    ('day', '2026-06-30', 'all', 'VND', 2, 1234567890123456.78),
    ('day', '2026-06-30', 'app', 'VND', 1, 1.00),
    ('day', '2026-06-30', 'all', 'USD', 1, 0.10),
    ('month', '2026-06', 'all', 'VND', 11, 1234567890123555.78),
    ('all', 'all', 'all', 'VND', 11, 1234567890123555.78)
) as v (period_type, period, channel, currency_code, order_count, net_sales);
create table reporting.financial_summary as
from (values
    (date '2026-05-01', 'VND', 1.00, 2.00),
    (date '2026-06-01', 'VND', 3000.50, 4.00)
) as v (month_start, currency_code, disbursals, payments);
"""


@pytest.fixture
def execute(tmp_path, monkeypatch) -> Callable[[str], None]:
    """A published warehouse with the views that reports read; changes it by SQL."""
    monkeypatch.setenv("DUCKDB_PATH", str(tmp_path / "headwater.duckdb"))
    monkeypatch.setenv("DBT_TARGET", "duckdb")
    monkeypatch.delenv("HEADWATER_WEBHOOK_URL", raising=False)
    monkeypatch.delenv("HEADWATER_REPORTS_URL", raising=False)

    def run(sql: str) -> None:
        with duckdb.connect(str(tmp_path / "headwater-read.duckdb")) as connection:
            connection.execute(sql)

    run(VIEWS)
    return run


@pytest.fixture
def source(tmp_path) -> Path:
    """A folder like analyze/, with its notebooks and no dashboards."""
    folder = tmp_path / "analyze"
    shutil.copytree(ANALYZE / "notebooks", folder / "notebooks")
    (folder / "columns.yml").write_text("{}\n")
    (folder / "index.yml").write_text(
        "dashboards: []\nnotebooks:\n- {name: second_orders, title: Second orders, about: Soon.}\n"
    )
    (folder / "exports.yml").write_text("[customer_report, total_sales]\n")
    return folder

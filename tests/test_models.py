"""The dbt project on DuckDB: exact values from a small raw layer, faults that turn it red."""

import datetime as dt
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import duckdb
import jinja2
import pytest
import yaml
from dbt.adapters.duckdb.credentials import DuckDBCredentials
from dbt_project import TRANSFORM, Project
from shop_tables import make_shop_tables, shop_tables


def recorded(project: Project) -> dict[tuple[str, str], str | None]:
    """What the warehouse has of the newest dbt run: status by kind and name."""
    return {
        (kind, name): status
        for kind, name, status in project.query(
            "select resource_type, node_id, status from _headwater.dbt_results "
            "qualify started_at = max(started_at) over ()"
        )
    }


def ended(project: Project) -> dict[tuple[str, str], str]:
    """What dbt itself says of it."""
    return {
        (kind, r["unique_id"]): r["status"]
        for r in project.artifact("run_results")["results"]
        if (kind := r["unique_id"].partition(".")[0]) not in ("exposure", "operation")
    }


def test_a_build_is_recorded(built: Project) -> None:
    assert recorded(built) == ended(built)
    ((invocation, run, started, took),) = built.query(
        "select invocation_id, run_id, started_at, ended_at > started_at and sum(seconds) > 1 "
        "from _headwater.dbt_results group by invocation_id, run_id, started_at, ended_at"
    )
    said = built.artifact("run_results")["metadata"]
    assert (invocation, run, took) == (said["invocation_id"], None, True)
    # dbt's own clock is read once more, microseconds later.
    began = dt.datetime.fromisoformat(said["invocation_started_at"]).replace(tzinfo=None)
    assert abs(dt.datetime.fromisoformat(started) - began) < dt.timedelta(minutes=1)


def test_a_result_says_which_sources_it_rests_on(built: Project) -> None:
    names = ("stg_lana__facilities", "fct_orders", "dim_dates", "fct_loads", "customer_report")
    names += ("not_null_stg_rainbow__payments_payment_id", "assert_marts_equal_sources_by_day")
    names += ("a_persons_orders_come_together",)
    assert built.query(
        "select resource_type, name, source_names from _headwater.dbt_results "
        f"where name in {names} order by 1, 2"
    ) == [
        ("model", "customer_report", "lana,rainbow,shopify"),
        ("model", "dim_dates", ""),
        ("model", "fct_loads", "_headwater"),
        ("model", "fct_orders", "lana,rainbow,shopify"),
        ("model", "stg_lana__facilities", "lana"),
        ("test", "assert_marts_equal_sources_by_day", "lana,rainbow,shopify"),
        ("test", "not_null_stg_rainbow__payments_payment_id", "rainbow"),
        ("unit_test", "a_persons_orders_come_together", "lana,rainbow,shopify"),
    ]


def test_a_result_of_what_was_skipped_does_too(built: Project, tmp_path: Path) -> None:
    project = built.copy(tmp_path)
    path = project.source / "models/marts/sales/customer_orders.sql"
    text = path.read_text()
    path.write_text(text.replace("cast(sum(counts.order_count) as int64)", "1e0"))
    assert project.dbt("build", "--select", "customer_orders", "customer_report").returncode == 1
    assert recorded(project) == ended(project)
    assert project.query(
        "select distinct resource_type, source_names from _headwater.dbt_results "
        "where status = 'skipped' order by 1"
    ) == [
        ("model", "lana,rainbow,shopify"),
        ("test", "lana,rainbow,shopify"),
        ("unit_test", "lana,rainbow,shopify"),
    ]


def test_results_of_before_there_were_sources_are_kept(built: Project, tmp_path: Path) -> None:
    project = built.copy(tmp_path)
    project.execute("alter table _headwater.dbt_results drop column source_names")
    ((former,),) = project.query("select count(*) from _headwater.dbt_results")
    assert project.dbt("run", "--select", "stg_lana__customers").returncode == 0
    assert project.query(
        "select source_names, count(*) from _headwater.dbt_results group by 1 order by 1"
    ) == [("lana", 1), (None, former)]


# What `results` has of a node.
Node = namedtuple("Node", "unique_id resource_type name depends_on_nodes")
Result = namedtuple("Result", "node status failures execution_time")


def test_more_results_than_a_statement_takes_are_recorded_in_several() -> None:
    """The macro alone: its text, for the results of a project that is many times as large."""
    source = (TRANSFORM / "macros/results.sql").read_text()
    moment = "timestamp '2026-06-30 02:00:00'"
    macros = (
        jinja2.Environment(extensions=["jinja2.ext.do"])
        .from_string(
            source,
            {
                "return": lambda relation: relation,
                "api": SimpleNamespace(Relation=SimpleNamespace(create=lambda **_: "dbt_results")),
                "target": SimpleNamespace(database="headwater"),
                "schema_prefix": lambda: "",
                "modules": SimpleNamespace(datetime=dt, pytz=SimpleNamespace(utc=dt.UTC)),
                "timestamp_utc": lambda _: moment,
                "run_started_at_utc": lambda: moment,
                "invocation_id": "one",
                "source_names": lambda nodes, _: nodes,
                "dbt_metadata_envs": {},
                "env_var": lambda *_: "it's tonight",
                "dbt": SimpleNamespace(escape_single_quotes=lambda text: text.replace("'", "''")),
            },
        )
        .module
    )
    tests = [Node(f"test.{number}", "test", f"it's {number}", ["a", "b"]) for number in range(2500)]
    results = [Result(node, "pass", 0, 0.25) for node in tests]
    results.append(Result(Node("model.x", "model", "x", []), "error", None, 1.23456))
    results.append(Result(Node("exposure.x", "exposure", "x", []), "no-op", None, 0.0))
    with duckdb.connect() as connection:
        connection.execute(
            "create table dbt_results (invocation_id text, run_id text, node_id text, "
            "resource_type text, name text, status text, failures int, seconds decimal(18, 3), "
            "started_at timestamp, ended_at timestamp, source_names text)"
        )
        statements = macros.record_results(results).split(";")
        assert len(statements) == 3
        assert max(map(len, statements)) < 500_000
        for statement in statements:
            connection.execute(statement)
        assert connection.execute(
            "select run_id, resource_type, status, count(*), min(name), any_value(failures), "
            "sum(seconds), source_names from dbt_results group by all order by 2"
        ).fetchall() == [
            ("it's tonight", "model", "error", 1, "x", None, Decimal("1.235"), ""),
            ("it's tonight", "test", "pass", 2500, "it's 0", 0, Decimal("625"), "a,b"),
        ]
        assert macros.record_results([]).strip() == ""


def test_total_sales(built: Project) -> None:
    # VND: 2 x 100000.50 + 0.25, 3 x 1234567890123456.78, which is more than a double holds, and
    # 700.00, which was given back.
    assert built.query("from reporting.total_sales order by 1, 2") == [
        ("app", "USD", 1, 1, 1, "19.99", "0.00", "19.99", "0.00", "19.99"),
        ("app", "VND", 4, 3, 7, "3703703670571071.59", "0.00", "3703703670571071.59", "700.00")
        + ("3703703670570371.59",),
    ]


def test_a_shop_that_was_never_loaded_is_empty(built: Project, tmp_path: Path) -> None:
    project = built.copy(tmp_path)
    project.execute("drop schema raw_shopify cascade")
    done = project.dbt(
        "build", "--select", "source:shopify+", "--exclude-resource-type", "unit_test"
    )
    assert done.returncode == 0, done.stdout
    assert "raw_shopify.orders was never loaded: it is empty" in done.stdout
    columns = project.query(
        "select column_name, data_type from information_schema.columns "
        "where table_schema = 'staging' and table_name like 'stg_shopify%' order by all"
    )
    assert columns == built.query(
        "select column_name, data_type from information_schema.columns "
        "where table_schema = 'staging' and table_name like 'stg_shopify%' order by all"
    )
    total = "from reporting.total_sales order by 1, 2"
    assert project.query(total) == built.query(total)
    # Once it is loaded it is read.
    make_shop_tables(project.warehouse, {"customers": [{"id": "gid://shopify/Customer/7"}]})
    assert project.dbt("run", "--select", "stg_shopify__customers").returncode == 0
    assert project.query("select customer_id from staging.stg_shopify__customers") == [(7,)]


def test_the_shops_columns_are_declared_as_they_land() -> None:
    sources = TRANSFORM / "models/staging/shopify/_shopify__sources.yml"
    (shopify,) = yaml.safe_load(sources.read_text())["sources"]
    names = {"bool": "boolean", "extension<arrow.json>": "json"}
    names |= {"decimal128(38, 9)": "numeric(38, 9)", "timestamp[us, tz=UTC]": "timestamp"}
    assert {
        table["name"]: {column["name"]: column["data_type"] for column in table["columns"]}
        for table in shopify["tables"]
    } == {
        stream: {
            name: names.get(str(kind), str(kind))
            for name, kind in zip(table.arrow_schema.names, table.arrow_schema.types, strict=True)
            if not name.startswith("_sdc_")
        }
        for stream, table in shop_tables().items()
    }


def test_financial_summary(built: Project) -> None:
    assert built.query("from reporting.financial_summary order by 1, 2") == [
        ("2026-01-01", "VND", "0.00", "0.00", "900.00", "0.00", 1),
        ("2026-02-01", "USD", "0.00", "7.00", "0.00", "0.00", 1),
        ("2026-02-01", "VND", "40.10", "0.00", "0.00", "300.00", 2),
    ]


def test_fct_orders(built: Project) -> None:
    columns = "order_key, customer_id, status, currency_code, line_count, quantity"
    sql = f"select {columns}, gross_amount, is_sale from marts.fct_orders order by 1"
    assert built.query(sql) == [
        ("app-1", 1, "completed", "VND", 2, 3, "200001.25", True),
        ("app-2", 1, "paid", "VND", 1, 3, "3703703670370370.34", True),
        ("app-3", 3, "shipped", "USD", 1, 1, "19.99", True),
        ("app-4", 2, "cancelled", "VND", 1, 1, "500.00", False),
        ("app-5", 2, "pending", "VND", 0, 0, "0.00", False),
        ("app-7", 2, "refunded", "VND", 1, 1, "700.00", True),
    ]


def test_fct_facilities(built: Project) -> None:
    columns = "facility_id, principal_amount, outstanding_balance, disbursed_amount, repaid_amount"
    sql = f"select {columns}, repayment_ratio, last_paid_at from marts.fct_facilities order by 1"
    assert built.query(sql) == [
        (1, "1000.00", "650.00", "900.00", "300.00", "0.333333", "2026-02-10 00:00:00"),
        (2, "70.50", "0.00", "0.00", "0.00", None, None),
    ]


def test_fct_transactions(built: Project) -> None:
    columns = "transaction_id, facility_id, transaction_type, currency_code, amount, transacted_at"
    assert built.query(f"select {columns} from marts.fct_transactions order by 1") == [
        (1, 1, "DISBURSAL", "VND", "900.00", "2026-01-31 23:59:59.999999"),
        (2, 1, "PAYMENT", "VND", "300.00", "2026-02-10 00:00:00"),
        (3, None, "DEPOSIT", "VND", "40.10", "2026-02-01 00:00:00"),
        (4, None, "WITHDRAWAL", "USD", "7.00", "2026-02-02 00:00:00"),
    ]


def test_int_customer_metrics(built: Project) -> None:
    columns = "customer_id, currency_code, facility_count, total_principal, total_outstanding"
    sql = f"select {columns}, last_facility_opened_on from intermediate.int_customer_metrics"
    assert built.query(f"{sql} order by 1") == [
        (1, "VND", 2, "1070.50", "650.00", "2026-02-01"),
        (2, None, 0, "0.00", "0.00", None),
    ]


def test_a_copy_under_another_name_can_be_read(built: Project, tmp_path: Path) -> None:
    copy = shutil.copy(built.warehouse, tmp_path / "headwater-read.duckdb")
    with duckdb.connect(copy, read_only=True) as warehouse:
        for (view,) in warehouse.execute(
            "select schema_name || '.' || view_name from duckdb_views() where not internal"
        ).fetchall():
            warehouse.execute(f"from {view}")


def test_faults_in_the_data_turn_the_build_red(built: Project, tmp_path: Path) -> None:
    project = built.copy(tmp_path)
    project.execute(
        """
        update raw_lana.facilities set outstanding_balance = -1 where facility_id = 2;
        update raw_lana.transactions set currency_code = 'USD' where transaction_id = 2;
        insert into raw_rainbow.customers from raw_rainbow.customers where customer_id = 1;
        update raw_rainbow.payments set payment_id = null where payment_id = 2;
        insert into raw_rainbow.order_details by name
            select 99 as order_id, 1 as product_id, 1 as quantity, 1 as price,
                timestamp '2026-04-01' as _sdc_batched_at
        """
    )
    untested = ("--exclude-resource-type", "unit_test")
    assert project.dbt("build", *untested, MELTANO_RUN_ID="tonight").returncode == 1
    assert project.results("error", "fail") == {
        "assert_one_currency_per_facility",
        "assert_positive_balances",
        "dim_payments",
        "not_null_stg_rainbow__payments_payment_id",
        "unique_stg_rainbow__customers_customer_id",
    }
    # A parent may come with the next load.
    assert project.results("warn") == {
        "relationships_stg_rainbow__order_details_order_id__order_id__ref_stg_rainbow__orders_",
        "relationships_stg_rainbow__orders_payment_id__payment_id__ref_stg_rainbow__payments_",
    }
    # The next one's page has it, whatever becomes of this night.
    assert recorded(project) == ended(project)
    assert project.query(
        "select run_id, outcome, checks_failed, checks_warned, failed_names "
        "from reporting.pipeline_builds where source_name = 'all' order by ended_at desc limit 1"
    ) == [
        (
            *("tonight", "failed", 4, 2),
            "assert_one_currency_per_facility, assert_positive_balances, dim_payments, "
            "not_null_stg_rainbow__payments_payment_id, unique_stg_rainbow__customers_customer_id",
        )
    ]


def test_faults_in_the_models_turn_the_build_red(built: Project, tmp_path: Path) -> None:
    project = built.copy(tmp_path)
    for model, found, put in [
        ("sales/fact_sales", "where orders.is_sale", "where orders.is_sale and unit_price < 1e9"),
        ("sales/fact_sales", "coalesce(sellers.seller_key, {{ unknown_key() }})", "'nobody'"),
        ("finance/fct_transactions", "_transactions') }}", "_transactions') }} where amount > 10"),
        ("sales/customer_orders", "cast(sum(counts.order_count) as int64)", "1e0"),
    ]:
        path = project.source / f"models/marts/{model}.sql"
        assert path.read_text().count(found) == 1
        path.write_text(path.read_text().replace(found, put))

    # In two steps: in one, what fails first would keep the rest from being tested.
    run = {"DBT_ENV_CUSTOM_ENV_DAGSTER_RUN_ID": "one"}  # as Dagster says which it is
    result = project.dbt("run", "--full-refresh", "--select", "marts reporting", **run)
    assert result.returncode == 1
    assert project.results("error") == {"customer_orders"}
    assert "enforced contract" in result.stdout
    tests = "marts,test_type:data", "reporting,test_type:data"
    assert project.dbt("test", "--select", *tests, **run).returncode == 1
    assert project.results("error", "fail", "warn") == {
        "assert_consistent_total_sales",
        "assert_keys_are_in_their_dimensions",
        "assert_marts_equal_sources_by_day",
        "same_keys_fct_transactions_transaction_id__ref_stg_lana__transactions_",
    }
    # Both steps are one run's.
    assert project.query(
        "select outcome, checks_failed, models_built > 0, models_not_built > 0 "
        "from reporting.pipeline_builds where run_id = 'one' and source_name = 'all'"
    ) == [("failed", 4, True, True)]


@pytest.mark.parametrize(
    "fault",
    [
        "extended_net_amount = extended_net_amount + 0.01",
        "net_unit_price = net_unit_price + 0.000001",
        "extended_sales_amount = 600, extended_net_amount = 600, refunded_amount = 600",
        "discount_unit_price = 1, net_unit_price = 699",
        "extended_discount_amount = -700, extended_net_amount = 1400, discount_unit_price = -700, "
        "net_unit_price = 1400",
        "refunded_quantity = 2",
        "refunded_amount = 700.01",
    ],
)
def test_amounts_that_do_not_add_up_are_found(built: Project, tmp_path: Path, fault: str) -> None:
    sql = built.directory / "target/compiled/headwater/tests/assert_sales_amounts_add_up.sql"
    warehouse = shutil.copy(built.warehouse, tmp_path)
    with duckdb.connect(warehouse) as connection:
        assert connection.execute(sql.read_text()).fetchall() == []
        # One unit, sold at 700 without a discount, and given back.
        connection.execute(f"update marts.fact_sales set {fault} where order_key = 'app-7'")
        ((found, *_),) = connection.execute(sql.read_text()).fetchall()
    assert found == "app-7-10"


def test_freshness_is_when_the_stream_was_last_loaded(built: Project, tmp_path: Path) -> None:
    project = built.copy(tmp_path)
    project.execute(
        """
        insert into _headwater.loads by name
        select 'raw_rainbow' as table_schema, table_name, loaded_at
        from (values
            ('orders', timezone('UTC', now()) - interval 3 days),
            ('orders', timezone('UTC', now()) - interval 1 hour),
            ('payments', timezone('UTC', now()) - interval 30 hours),
            ('brands', timezone('UTC', now()) - interval 3 days)
        ) as loads (table_name, loaded_at)
        """
    )
    runs = "select count(distinct invocation_id) from _headwater.dbt_results"
    assert project.dbt("source", "freshness", "--select", "source:rainbow").returncode == 1
    assert project.query(runs) == built.query(runs)  # it makes nothing and tests nothing
    results = project.artifact("sources")["results"]
    status = {result["unique_id"].split(".")[-1]: result["status"] for result in results}
    assert len(status) == 9
    assert (status["orders"], status["payments"], status["brands"]) == ("pass", "warn", "error")
    assert status["sellers"] == "error"  # never loaded


def test_a_warehouse_held_by_another_is_named_in_one_line(built: Project, tmp_path: Path) -> None:
    project = built.copy(tmp_path)
    with duckdb.connect(str(project.warehouse)):
        result = project.dbt("build", DUCKDB_LOCK_TIMEOUT_SECONDS="0.1")
    assert result.returncode == 2
    assert f"the warehouse transform/../{project.warehouse.name} is held by" in result.stdout
    assert f"(PID {os.getpid()}) since more than 0.1 s" in result.stdout
    assert "Traceback" not in result.stdout + result.stderr


def test_dbt_waits_for_a_warehouse_that_is_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(TRANSFORM / "profiles")
    import warehouse_file

    path = str(tmp_path / "headwater.duckdb")
    hold = f"import duckdb; c = duckdb.connect({path!r}); print('held', flush=True); input()"
    holder = subprocess.Popen(
        [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "held\n"
    sleeps = []

    def let_go(seconds: float) -> None:
        sleeps.append(seconds)
        holder.communicate("\n")

    monkeypatch.setattr(warehouse_file.time, "sleep", let_go)
    credentials = DuckDBCredentials(schema="main", path=path)
    plugin = warehouse_file.Plugin("file", {"lock_timeout_seconds": "60"}, credentials)
    plugin.update_connection_config(credentials, {})
    assert len(sleeps) == 1

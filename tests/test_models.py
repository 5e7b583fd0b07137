"""The dbt project on DuckDB: exact values from a small raw layer, faults that turn it red."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
import yaml
from dbt.adapters.duckdb.credentials import DuckDBCredentials
from headwater_target_warehouse.duckdb import DuckDBWarehouse
from shop_tables import STAMPED, make_shop_tables, shop_tables

ROOT = Path(__file__).parents[1]
TRANSFORM = ROOT / "transform"
SOURCE_DDL = ROOT / "plugins/utilities/sandbox/headwater_sandbox/schema.sql"
DBT = Path(sys.executable).with_name("dbt")

LANDED_TYPES = [
    (r"bigint|integer|smallint", "bigint"),
    (r"numeric(\(.+?\))", r"decimal\1"),
    (r"numeric", "decimal(38, 9)"),
    (r"real|double precision", "double"),
    (r"timestamptz|timestamp", "timestamp"),
    (r"bytea", "blob"),
    (r"jsonb|text\[\]", "json"),
    (r"text|uuid|char\(\d+\)", "varchar"),
    (r"date|boolean", r"\g<0>"),
]

# What a row has when the test does not care.
DEFAULTS = {
    "full_name": "Đặng Thị Ánh",
    "email": "anh@example.com",
    "created_at": "2026-01-01 00:00:00",
    "updated_at": "2026-01-01 00:00:00",
    "is_subscribed": False,
    "fee_rate": 0.025,
    "is_active": True,
    "currency_code": "VND",
    "annual_rate": 0.125,
    "opened_on": "2026-01-01",
    "customer_type": "INDIVIDUAL",
    **STAMPED,
}
DELETED = {"_sdc_deleted_at": "2026-03-01 00:00:00"}

ROWS = {
    "raw_rainbow.customers": [
        {"customer_id": 1},
        {"customer_id": 2},
        {"customer_id": 3, **DELETED},
    ],
    "raw_rainbow.payments": [
        {"payment_id": 1, "payment_method": "cash"},
        {"payment_id": 2, "payment_method": "card"},
    ],
    "raw_rainbow.orders": [
        {"order_id": 1, "customer_id": 1, "payment_id": 1, "status": "completed"},
        {"order_id": 2, "customer_id": 1, "payment_id": 2, "status": "paid"},
        {"order_id": 3, "customer_id": 3, "payment_id": 2, "status": "shipped"}
        | {"currency_code": "USD"},
        {"order_id": 4, "customer_id": 2, "payment_id": 1, "status": "cancelled"},
        {"order_id": 5, "customer_id": 2, "payment_id": 1, "status": "pending"},
        {"order_id": 6, "customer_id": 2, "payment_id": 1, "status": "completed", **DELETED},
        {"order_id": 7, "customer_id": 2, "payment_id": 1, "status": "refunded"},
    ],
    "raw_rainbow.order_details": [
        {"order_id": 1, "product_id": 10, "quantity": 2, "price": "100000.50"},
        {"order_id": 1, "product_id": 11, "quantity": 1, "price": "0.25"},
        {"order_id": 1, "product_id": 12, "quantity": 5, "price": "777.00", **DELETED},
        {"order_id": 2, "product_id": 10, "quantity": 3, "price": "1234567890123456.78"},
        {"order_id": 3, "product_id": 10, "quantity": 1, "price": "19.99"},
        {"order_id": 4, "product_id": 10, "quantity": 1, "price": "500.00"},
        {"order_id": 6, "product_id": 10, "quantity": 1, "price": "600.00", **DELETED},
        {"order_id": 7, "product_id": 10, "quantity": 1, "price": "700.00"},
    ],
    "raw_lana.customers": [
        {"customer_id": 1, "status": "ACTIVE"},
        {"customer_id": 2, "status": "SUSPENDED"},
        {"customer_id": 3, "status": "ACTIVE", **DELETED},
    ],
    "raw_lana.facilities": [
        {"facility_id": 1, "customer_id": 1, "status": "ACTIVE"}
        | {"principal_amount": "1000.00", "outstanding_balance": "650.00"},
        {"facility_id": 2, "customer_id": 1, "status": "PENDING"}
        | {"principal_amount": "70.50", "outstanding_balance": "0.00", "opened_on": "2026-02-01"},
        {"facility_id": 3, "customer_id": 1, "status": "ACTIVE", **DELETED}
        | {"principal_amount": "5.00", "outstanding_balance": "5.00"},
    ],
    "raw_lana.transactions": [
        {"transaction_id": 1, "customer_id": 1, "facility_id": 1, "type": "DISBURSAL"}
        | {"amount": "900.00", "transaction_date": "2026-01-31 23:59:59.999999"},
        {"transaction_id": 2, "customer_id": 1, "facility_id": 1, "type": "PAYMENT"}
        | {"amount": "300.00", "transaction_date": "2026-02-10 00:00:00"},
        {"transaction_id": 3, "customer_id": 2, "type": "DEPOSIT"}
        | {"amount": "40.10", "transaction_date": "2026-02-01 00:00:00"},
        {"transaction_id": 4, "customer_id": 2, "type": "WITHDRAWAL", "currency_code": "USD"}
        | {"amount": "7.00", "transaction_date": "2026-02-02 00:00:00"},
        {"transaction_id": 5, "customer_id": 2, "type": "DEPOSIT", **DELETED}
        | {"amount": "1.00", "transaction_date": "2026-02-02 00:00:00"},
    ],
}


def landed_type(postgres_type: str) -> str:
    """Return the DuckDB type the loader lands a Postgres type in."""
    for pattern, duckdb_type in LANDED_TYPES:
        if match := re.fullmatch(pattern, postgres_type):
            return match.expand(duckdb_type)
    raise AssertionError(f"no landed type for {postgres_type}")


def make_raw_layer(path: Path, rows: dict[str, list[dict]] = ROWS) -> None:
    """Create every raw table of the sources' DDL, with rows in them, and the loader's audit."""
    ddl = SOURCE_DDL.read_text()
    with duckdb.connect(str(path)) as warehouse:
        warehouse.execute("create schema raw_rainbow; create schema raw_lana")
        for name, body in re.findall(r"^create table (\S+) \(\n(.+?)^\);", ddl, re.M | re.S):
            columns = re.findall(
                r"^ {4}(?!primary key)\"?(\w+)\"? (double precision|\w+(?:\(.+?\)|\[\])?)",
                body,
                re.M,
            )
            typed = [f'"{column}" {landed_type(kind)}' for column, kind in columns]
            warehouse.execute(
                f"create table raw_{name} ({', '.join(typed)}, _sdc_extracted_at timestamp, "
                "_sdc_received_at timestamp, _sdc_batched_at timestamp, _sdc_deleted_at timestamp, "
                "_sdc_sequence bigint, _sdc_table_version bigint)"
            )
            known = {column for column, _ in columns} | {"_sdc_batched_at", "_sdc_deleted_at"}
            for row in rows.get(f"raw_{name}", []):
                full = {k: v for k, v in (DEFAULTS | row).items() if k in known}
                assert row.keys() <= known
                warehouse.execute(
                    f"insert into raw_{name} ({', '.join(map(json.dumps, full))}) "
                    f"values ({', '.join('?' * len(full))})",
                    list(full.values()),
                )
    with DuckDBWarehouse(path) as warehouse:
        warehouse.create_audit_tables()
    make_shop_tables(
        path,
        {
            name.removeprefix("raw_shopify."): rows_of
            for name, rows_of in rows.items()
            if name.startswith("raw_shopify.")
        },
    )


class Project:
    """A dbt project with a warehouse of its own; artifacts and logs lie beside the file."""

    def __init__(self, directory: Path, source: Path = TRANSFORM) -> None:
        self.directory = directory
        self.warehouse = directory / "headwater.duckdb"
        self.env = os.environ | {
            "DBT_PROJECT_DIR": str(source),
            "DBT_PROFILES_DIR": str(source / "profiles"),
            "DBT_TARGET_PATH": str(directory / "target"),
            "DBT_LOG_PATH": str(directory / "logs"),
            "DBT_TARGET": "duckdb",
            "DBT_SCHEMA_PREFIX": "",
            "DUCKDB_PATH": str(self.warehouse),
        }

    def copy(self, directory: Path, source: Path = TRANSFORM) -> "Project":
        """Return a project that starts with this one's warehouse and parsed state."""
        shutil.copytree(self.directory, directory, dirs_exist_ok=True)
        return Project(directory, source)

    def dbt(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [DBT, "--no-use-colors", *arguments],
            env=self.env | env,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=300,
        )

    def artifact(self, name: str) -> dict:
        return json.loads((self.directory / "target" / f"{name}.json").read_text())

    def results(self, *statuses: str) -> set[str]:
        """Return the names of the nodes that ended so at the last invocation."""
        results = self.artifact("run_results")["results"]
        return {r["unique_id"].split(".")[2] for r in results if r["status"] in statuses}

    def query(self, sql: str) -> list[tuple]:
        with duckdb.connect(str(self.warehouse), read_only=True) as warehouse:
            return [tuple(map(plain, row)) for row in warehouse.execute(sql).fetchall()]

    def execute(self, sql: str) -> None:
        with duckdb.connect(str(self.warehouse)) as warehouse:
            warehouse.execute(sql)


def plain(value: object) -> object:
    """Return the value as the tests write it: decimals, dates and timestamps as text."""
    return value if value is None or isinstance(value, bool | int) else str(value)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The warehouse after one `dbt build`. Not to be written to: copy it."""
    project = Project(tmp_path_factory.mktemp("built"))
    make_raw_layer(project.warehouse)
    result = project.dbt("build")
    assert result.returncode == 0, result.stdout
    assert "deprecat" not in result.stdout.lower()
    assert project.results("warn", "skipped") == set()
    return project


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
    done = project.dbt("build", "--exclude-resource-type", "unit_test")
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
    assert project.dbt("build").returncode == 1
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


def test_faults_in_the_models_turn_the_build_red(built: Project, tmp_path: Path) -> None:
    source = Path(shutil.copytree(TRANSFORM, tmp_path / "transform"))
    for model, found, put in [
        ("sales/fact_sales", "where orders.is_sale", "where orders.is_sale and unit_price < 1e9"),
        ("sales/fact_sales", "coalesce(sellers.seller_key, {{ unknown_key() }})", "'nobody'"),
        ("finance/fct_transactions", "_transactions') }}", "_transactions') }} where amount > 10"),
        ("sales/customer_orders", "count(*) as order_count", "1e0 as order_count"),
    ]:
        path = source / f"models/marts/{model}.sql"
        assert path.read_text().count(found) == 1
        path.write_text(path.read_text().replace(found, put))

    project = built.copy(tmp_path / "faulty", source)
    # In two steps: in one, what fails first would keep the rest from being tested.
    result = project.dbt("run", "--full-refresh", "--select", "marts reporting")
    assert result.returncode == 1
    assert project.results("error") == {"customer_orders"}
    assert "enforced contract" in result.stdout
    tests = "marts,test_type:data", "reporting,test_type:data"
    assert project.dbt("test", "--select", *tests).returncode == 1
    assert project.results("error", "fail", "warn") == {
        "assert_consistent_total_sales",
        "assert_keys_are_in_their_dimensions",
        "assert_marts_equal_sources_by_day",
        "same_keys_fct_transactions_transaction_id__ref_stg_lana__transactions_",
    }


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
    assert project.dbt("source", "freshness", "--select", "source:rainbow").returncode == 1
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
    assert f"the warehouse {project.warehouse} is held by" in result.stdout
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

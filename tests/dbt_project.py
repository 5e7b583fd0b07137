"""dbt alone, on a warehouse whose raw layer is written by hand: no sandbox, loader or Meltano."""

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
from headwater_target_warehouse.duckdb import DuckDBWarehouse
from shop_tables import STAMPED, make_shop_tables

ROOT = Path(__file__).parents[1]
TRANSFORM = ROOT / "transform"
SOURCE_DDL = ROOT / "plugins/utilities/sandbox/headwater_sandbox/schema.sql"
DBT = Path(sys.executable).with_name("dbt")
CACHES = shutil.ignore_patterns("__pycache__")

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
    """A copy of the dbt project, with a warehouse, artifacts and logs of its own beside it.

    It is called by the same relative paths wherever it is, so that a copy of it keeps what dbt has
    parsed: dbt would start anew for another path of the warehouse.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.source = directory / "transform"
        self.warehouse = directory / "headwater.duckdb"
        if not self.source.exists():
            for folder in ("transform", "analyze/exposures"):
                shutil.copytree(ROOT / folder, directory / folder, ignore=CACHES)
        self.env = os.environ | {
            "DBT_PROJECT_DIR": "transform",
            "DBT_PROFILES_DIR": "transform/profiles",
            "DBT_TARGET_PATH": str(directory / "target"),
            "DBT_LOG_PATH": str(directory / "logs"),
            "DBT_TARGET": "duckdb",
            "DBT_SCHEMA_PREFIX": "",
            "DUCKDB_PATH": self.warehouse.name,
        }

    def copy(self, directory: Path) -> "Project":
        """Return a project that starts with this one's files, warehouse and parsed state."""
        shutil.copytree(self.directory, directory, dirs_exist_ok=True)
        return Project(directory)

    def dbt(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [DBT, "--no-use-colors", *arguments],
            env=self.env | env,
            cwd=self.directory,
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


def once(folder: Path, make: Callable[[Path], Project]) -> Project:
    """The project that `make` makes in a folder, in whichever process comes here first.

    Not to be written to: copy it.
    """
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return Project(folder) if folder.exists() else make(folder)


def parsed_in(folder: Path) -> Project:
    """A project that dbt has parsed, and without a warehouse."""
    project = Project(folder)
    result = project.dbt("parse")
    assert result.returncode == 0, result.stdout
    return project

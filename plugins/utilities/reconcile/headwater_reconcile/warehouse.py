"""The environment's warehouse: DuckDB's file, or BigQuery's datasets."""

import os
from collections.abc import Callable
from pathlib import Path

from headwater_target_warehouse.duckdb import DuckDBWarehouse
from headwater_target_warehouse.warehouse import AUDIT_SCHEMA, Warehouse

# The loader's settings of BigQuery, by the variable that gives them.
_SETTINGS = {
    "project": "GCP_PROJECT_ID",
    "dataset_prefix": "DBT_SCHEMA_PREFIX",
    "location": "BIGQUERY_LOCATION",
    "credentials_path": "GOOGLE_APPLICATION_CREDENTIALS",
    "credentials_json": "TARGET_BIGQUERY_CREDENTIALS_JSON",
    "api_endpoint": "BIGQUERY_API_ENDPOINT",
    "maximum_bytes_billed": "BIGQUERY_MAXIMUM_BYTES_BILLED",
    "dbt_target": "DBT_TARGET",
}


def is_bigquery() -> bool:
    """Whether dbt models BigQuery here."""
    return os.environ.get("DBT_TARGET", "duckdb") != "duckdb"


def loader() -> str:
    return "target-bigquery" if is_bigquery() else "target-duckdb"


def place(path: Path) -> str:
    """What to call the warehouse; `path`: DuckDB's file."""
    return f"of project {os.environ.get('GCP_PROJECT_ID')}" if is_bigquery() else str(path)


def open_warehouse(
    path: Path, lock_timeout: float, on_wait: Callable[[str], None]
) -> Warehouse | None:
    """The warehouse, None where nothing was ever loaded into it.

    `path`: DuckDB's file. `lock_timeout`: how many seconds to wait for another who holds it.

    Raises:
        LoadError: it cannot be reached.
    """
    if not is_bigquery():
        if not path.exists():
            return None
        return DuckDBWarehouse(path, lock_timeout=lock_timeout, on_wait=on_wait)
    warehouse = bigquery(on_wait)
    if warehouse.columns(AUDIT_SCHEMA, "streams"):
        return warehouse
    warehouse.close()
    return None


def bigquery(on_wait: Callable[[str], None]) -> Warehouse:
    """BigQuery, as the environment's variables say; it may be empty.

    Raises:
        LoadError: there is no project or no credentials.
    """
    # Google's client takes seconds to import.
    from headwater_target_warehouse.bigquery import open_bigquery

    return open_bigquery(
        {name: os.environ.get(variable) for name, variable in _SETTINGS.items()},
        run_id=os.environ.get("MELTANO_RUN_ID"),
        environment=os.environ.get("MELTANO_ENVIRONMENT"),
        on_warning=on_wait,
    )

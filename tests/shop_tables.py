"""The tables that the shop's streams land in, by what is selected, and rows put there by hand."""

import json
from pathlib import Path
from typing import Any

import duckdb
import yaml
from headwater_target_warehouse.duckdb import DuckDBWarehouse
from headwater_target_warehouse.schema import Table, table_from_schema

EXTRACTORS = Path(__file__).parents[1] / "extract/extractors.meltano.yml"

# When the loader brought a row, if the test does not care.
STAMPED = {"_sdc_batched_at": "2026-04-01 00:00:00"}
# What a field is announced as, unless it is a text. test_shopify.py compares it with what lands.
TIME = {"type": ["string", "null"], "format": "date-time"}
DECIMAL = {"type": ["string", "null"], "format": "singer.decimal"}
TYPES = {
    **dict.fromkeys(("cancelledAt", "createdAt", "processedAt", "updatedAt"), TIME),
    **dict.fromkeys(("price", "compareAtPrice"), DECIMAL),
    **dict.fromkeys(
        ("test", "edited", "taxesIncluded", "isGiftCard"), {"type": ["boolean", "null"]}
    ),
    **dict.fromkeys(
        ("subtotalLineItemsQuantity", "currentSubtotalLineItemsQuantity", "inventoryQuantity"),
        {"type": ["integer", "null"]},
    ),
    **dict.fromkeys(
        ("lineItems", "discountApplications", "refundLineItems", "paymentGatewayNames", "tags"),
        {"type": ["array", "null"]},
    ),
}


def shop_tables() -> dict[str, Table]:
    """By stream, the table the loader makes for what is selected."""
    (tap,) = (
        plugin
        for plugin in yaml.safe_load(EXTRACTORS.read_text())["plugins"]["extractors"]
        if plugin["name"] == "tap-shopify"
    )
    streams: dict[str, dict[str, dict]] = {}
    for pattern in tap["select"]:
        stream, field, *parts = pattern.split(".")
        streams.setdefault(stream, {})[field] = (
            {"type": ["object", "null"]}
            if parts
            else TYPES.get(field, {"type": ["string", "null"]})
        )
    return {
        stream: table_from_schema(
            stream, {"properties": properties}, ["id"], default_schema=tap["load_schema"]
        )
        for stream, properties in streams.items()
    }


def make_shop_tables(path: Path, rows: dict[str, list[dict[str, Any]]]) -> None:
    """Create the shop's tables in a DuckDB file, with the given rows: by stream, fields as sent."""
    tables = shop_tables()
    with DuckDBWarehouse(path) as warehouse:
        for table in tables.values():
            warehouse.execute(warehouse.create_schema_sql(table.schema))
            schema = table.arrow_schema
            columns = dict(zip(schema.names, schema.types, strict=True))
            warehouse.execute(warehouse.create_table_sql(table.schema, table.name, columns))
    with duckdb.connect(str(path)) as connection:
        for stream, table in tables.items():
            for given in rows.get(stream, ()):
                row = STAMPED | given
                assert row.keys() <= {*table.arrow_schema.names}
                connection.execute(
                    f'insert into {table.schema}."{table.name}" '
                    f"({', '.join(map(json.dumps, row))}) values ({', '.join('?' * len(row))})",
                    [
                        json.dumps(value) if isinstance(value, dict | list) else value
                        for value in row.values()
                    ],
                )

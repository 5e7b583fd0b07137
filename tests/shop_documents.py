"""The shop's documents, and what the warehouse has of them, in terms that can be compared."""

import datetime as dt
import json
import sqlite3
from decimal import Decimal
from typing import Any

import duckdb
from headwater_project import Project

LOAD = ("run", "tap-shopify", "lines-to-orders", "target-duckdb")
# Which documents have a stream's rows, and under which name.
KINDS = {
    "orders": ("Order", None),
    "customers": ("Customer", None),
    "products": ("Product", None),
    "product_variants": ("ProductVariant", None),
    "transactions": ("Order", "transactions"),
    "order_refunds": ("Order", "refunds"),
}


def sent(project: Project) -> dict[str, dict[str, dict]]:
    """What the shop has, by stream and id."""
    with sqlite3.connect(project.shop.store) as connection:
        rows = connection.execute("select kind, document from documents").fetchall()
    documents: dict[str, list[dict]] = {}
    for kind, document in rows:
        documents.setdefault(kind, []).append(json.loads(document))
    found: dict[str, dict[str, dict]] = {}
    for stream, (kind, path) in KINDS.items():
        found[stream] = {}
        for document in documents[kind]:
            parent = {"order": {"id": document["id"]}} if path else {}
            for row in document.get(path, ()) if path else [document]:
                found[stream][row["id"]] = row | parent
    return found


def landed(project: Project) -> dict[str, dict[str, dict[str, Any]]]:
    """What the warehouse has, but for what is marked as deleted, by stream and id; JSON as values,
    numbers in it as Decimal."""
    found = {}
    with duckdb.connect(str(project.warehouse), read_only=True) as connection:
        for stream in KINDS:
            result = connection.execute(
                f'select * from raw_shopify."{stream}" where _sdc_deleted_at is null'
            )
            names = [name for name, *_ in result.description]
            types = [str(type_) for _, type_, *_ in result.description]
            rows = [
                {
                    name: json.loads(value, parse_float=Decimal)
                    if type_ == "JSON" and value
                    else value
                    for name, type_, value in zip(names, types, row, strict=True)
                    if not name.startswith("_sdc_")
                }
                for row in result.fetchall()
            ]
            found[stream] = {row["id"]: row for row in rows}
            assert len(found[stream]) == len(rows)
    return found


def unlike(ours: dict[str, dict[str, dict]], theirs: dict[str, dict[str, dict]]) -> list[str]:
    """Where what has landed is not what the shop has, to the last digit; empty if nowhere.

    But for what Shopify does not tell: the lines of a deleted product lose it, and their order
    stays as old as it was.
    """
    ours = ours | {"orders": {i: _forgetful(row, theirs) for i, row in ours["orders"].items()}}
    return [
        f"{stream} {id_}: at one side only"
        for stream in theirs
        for id_ in ours[stream].keys() ^ theirs[stream].keys()
    ] + [
        told
        for stream, rows in theirs.items()
        for id_ in ours[stream].keys() & rows.keys()
        for told in differs(ours[stream][id_], rows[id_], f"{stream} {id_}")
    ]


def _forgetful(order: dict, theirs: dict[str, dict[str, dict]]) -> dict:
    """The order, its lines without the products that the shop has no more."""
    lines = [dict(line) for line in order["lineItems"]]
    for line in lines:
        for field, stream in (("product", "products"), ("variant", "product_variants")):
            if line[field] and line[field]["id"] not in theirs[stream]:
                line[field] = None
    return order | {"lineItems": lines}


def differs(ours: Any, theirs: Any, path: str = "") -> list[str]:
    """Where a landed value is not what was sent; what is absent there may be null here."""
    match ours:
        case dict():
            theirs = theirs or {}
            return [
                found
                for key, value in ours.items()
                if key != "__parentId"
                for found in differs(value, theirs.get(key), f"{path}.{key}")
            ]
        case list():
            theirs = theirs or []
            if len(ours) != len(theirs):
                return [f"{path}: {len(ours)} instead of {len(theirs)}"]
            return [
                found
                for i, pair in enumerate(zip(ours, theirs, strict=True))
                for found in differs(*pair, f"{path}[{i}]")
            ]
        case dt.datetime():
            same = f"{ours.isoformat()}Z" == theirs
        case Decimal():
            same = ours == Decimal(theirs)
        case _:
            same = (type(ours), ours) == (type(theirs), theirs) or (theirs is None and not ours)
    return [] if same else [f"{path}: {ours!r} instead of {theirs!r}"]

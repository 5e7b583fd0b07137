"""The copy of the warehouse file that people and reports read while the next run writes."""

import json
import os
import shutil
from pathlib import Path

import duckdb
from headwater_target_warehouse.duckdb import DuckDBWarehouse


def published_path(warehouse: Path) -> Path:
    return warehouse.with_name(f"{warehouse.stem}-read{warehouse.suffix}")


def publish(warehouse: DuckDBWarehouse) -> Path:
    """Copy an open warehouse and swap the copy in at once; returns its path.

    Nobody writes meanwhile, as the warehouse is open here. Who has the former copy open keeps it.
    The warehouse is closed when this returns.

    Raises:
        OSError: the copy cannot be written.
    """
    path = published_path(warehouse.path)
    new = path.with_name(f"{path.name}.new")
    for leftover in (new, _log(new)):
        leftover.unlink(missing_ok=True)
    warehouse.execute("checkpoint")
    # Until the warehouse is closed this file must not be: to close it drops the process's lock.
    with warehouse.path.open("rb") as file, warehouse:
        with new.open("wb") as copy:
            shutil.copyfileobj(file, copy, 16 << 20)
        _unbind_views(new, warehouse.path.stem)
        with new.open("rb") as copy:
            os.fsync(copy.fileno())
        # A log beside the old copy, from someone who wrote to it, is not the new one's.
        _log(path).unlink(missing_ok=True)
        new.replace(path)
    return path


def _log(path: Path) -> Path:
    return path.with_name(f"{path.name}.wal")


def _unbind_views(path: Path, name: str) -> None:
    """Have the copy's views name their tables without the file's name, which is another now."""
    quoted = '"' + name.replace('"', '""') + '"'
    with duckdb.connect() as connection:
        connection.execute(f"attach '{str(path).replace(chr(39), chr(39) * 2)}' as {quoted}")
        connection.execute(f"use {quoted}")
        views = connection.execute(
            "select schema_name, view_name, sql, comment from duckdb_views() "
            "where not internal and database_name = current_database()"
        ).fetchall()
        for schema, view, statement, comment in views:
            _, _, query = statement.partition(" AS ")
            (tree,) = connection.execute(
                "select json_serialize_sql(?)", [query.rstrip().rstrip(";")]
            ).fetchone()
            tree = json.loads(tree)
            if tree["error"]:  # not a plain select: left as it is
                continue
            _strip(tree, name)
            (query,) = connection.execute(
                "select json_deserialize_sql(?::json)", [json.dumps(tree)]
            ).fetchone()
            ref = ".".join('"' + part.replace('"', '""') + '"' for part in (schema, view))
            connection.execute(f"create or replace view {ref} as {query}")
            if comment:
                literal = comment.replace("'", "''")
                connection.execute(f"comment on view {ref} is '{literal}'")
        connection.execute("checkpoint")


def _strip(node: object, catalog: str) -> None:
    """Remove the catalog from the tables and columns of a parsed query."""
    if isinstance(node, list):
        for item in node:
            _strip(item, catalog)
    elif isinstance(node, dict):
        if node.get("catalog_name") == catalog:
            node["catalog_name"] = ""
        names = node.get("column_names")
        if node.get("class") == "COLUMN_REF" and len(names) > 3 and names[0] == catalog:
            del names[0]
        for item in node.values():
            _strip(item, catalog)

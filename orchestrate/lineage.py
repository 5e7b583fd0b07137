"""Which columns a model's columns are made of, from its compiled SQL alone."""

from collections.abc import Mapping
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator
from sqlglot import exp, parse_one
from sqlglot.lineage import Node, lineage


def column_lineage(
    sql: str, node: Mapping[str, Any], manifest: Mapping[str, Any], translator: DagsterDbtTranslator
) -> dg.TableColumnLineage:
    """By column of a dbt node: the columns of its parents that it is computed from."""
    dialect = manifest["metadata"]["adapter_type"]
    tree = parse_one(sql, dialect=dialect)
    parents = {
        (parent["schema"], parent.get("alias") or parent["identifier"]): parent
        for unique_id in node["depends_on"]["nodes"]
        if (parent := manifest["nodes"].get(unique_id) or manifest["sources"].get(unique_id))
    }
    named = {column.name for column in tree.find_all(exp.Column)}
    schema: dict[str, dict[str, dict[str, str]]] = {}
    for (dataset, table), parent in parents.items():
        # A source declares few of its columns; it has those that the model names.
        columns = named if parent["resource_type"] == "source" else parent["columns"]
        schema.setdefault(dataset, {})[table] = dict.fromkeys(columns, "unknown")
    for table in tree.find_all(exp.Table):
        table.set("catalog", None)
    # To trim what it has read would take the time of a copy of the query for each column.
    columns = lineage(None, tree, schema, dialect=dialect, trim_selects=False)
    return dg.TableColumnLineage(
        {
            column: [
                dg.TableColumnDep(
                    translator.get_asset_spec(manifest, parents[found]["unique_id"], None).key, name
                )
                for found, name in _leaves(node)
                if found in parents
            ]
            for column, node in columns.items()
        }
    )


def _leaves(column: Node) -> list[tuple[tuple[str, str], str]]:
    """The (dataset, table) and column of each end of a column's lineage, sorted."""
    found = set()
    for step in column.walk():
        table = step.expression.find(exp.Table)
        if table and not step.downstream:
            found.add(((table.db, table.name), exp.to_column(step.name).name))
    return sorted(found)

"""Which columns a model's columns are made of, from its compiled SQL alone."""

from collections.abc import Mapping
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator
from sqlglot import exp, parse_one
from sqlglot.lineage import lineage
from sqlglot.optimizer.qualify import qualify


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
    qualified = qualify(
        tree,
        schema=schema,
        dialect=dialect,
        validate_qualify_columns=False,
        quote_identifiers=False,
    )
    text = qualified.sql(dialect=dialect)
    return dg.TableColumnLineage(
        {
            column: [
                dg.TableColumnDep(
                    translator.get_asset_spec(manifest, parents[found]["unique_id"], None).key, name
                )
                for found, name in _leaves(column, text, schema, dialect)
                if found in parents
            ]
            for column in qualified.named_selects
        }
    )


def _leaves(
    column: str, sql: str, schema: Mapping[str, Any], dialect: str
) -> list[tuple[tuple[str, str], str]]:
    """The (dataset, table) and column of each end of a column's lineage, sorted."""
    found = set()
    for step in lineage(column, sql, schema=schema, dialect=dialect).walk():
        table = step.expression.find(exp.Table)
        if table and not step.downstream:
            found.add(((table.db, table.name), exp.to_column(step.name).name))
    return sorted(found)

"""Bulk operations: one query over all pages, its objects written as lines of JSON."""

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from graphql import GraphQLSchema, get_named_type
from graphql.execution.values import get_argument_values
from graphql.language import DocumentNode, FieldNode

from headwater_sandbox.shopify.execution import Connection, as_connection, run
from headwater_sandbox.shopify.store import Reader, Row

ENCODER = msgspec.json.Encoder()


class BulkError(Exception):
    """A query that bulk operations do not take."""


@dataclass
class Output:
    objects: int = 0
    roots: int = 0
    size: int = 0


def root_field(schema: GraphQLSchema, query: DocumentNode) -> FieldNode:
    """The connection that a valid query reads.

    Raises:
        BulkError: it reads none, or several.
    """
    (*_, operation) = query.definitions
    fields = operation.selection_set.selections
    if len(fields) != 1 or not isinstance(fields[0], FieldNode):
        raise BulkError("Bulk queries must contain exactly one connection at the root.")
    field_type = get_named_type(schema.query_type.fields[fields[0].name.value].type)
    if not field_type.name.endswith("Connection"):
        raise BulkError("Bulk queries must contain at least one connection.")
    return fields[0]


def arguments_of(schema: GraphQLSchema, field: FieldNode) -> dict[str, Any]:
    """A root field's arguments, by name, with their defaults."""
    return get_argument_values(schema.query_type.fields[field.name.value], field)


def write(
    schema: GraphQLSchema,
    query: DocumentNode,
    field: FieldNode,
    pages: Iterable[list[Row]],
    reader: Reader,
    path: Path,
    is_grouped: bool,
) -> Output:
    """Run a valid query over the pages of its root field, and write its output.

    Children follow their parent, or, where they are not grouped, come behind all parents: as far
    from their own as Shopify's words allow.

    Raises:
        BulkError: children have a parent whose id was not asked for.
        GraphQLError: the query fails.
    """
    output, key = Output(), (field.alias or field.name).value
    with path.open("wb") as file, tempfile.TemporaryFile(dir=path.parent) as apart:
        for rows in pages:
            edges = [{"cursor": row.cursor, "node": row.document} for row in rows]
            page = as_connection(edges, has_next=False, has_previous=False)
            result = run(schema, query, reader, {field.name.value: page})
            if result.errors:
                raise result.errors[0]
            lines = [line for node in _nodes(result.data[key]) for line in _flat(node, None)]
            output.objects += len(lines)
            output.roots += len(rows)
            if not is_grouped:
                children = [line for line in lines if "__parentId" in line]
                apart.write(ENCODER.encode_lines(children))
                lines = [line for line in lines if "__parentId" not in line]
            file.write(ENCODER.encode_lines(lines))
        apart.seek(0)
        shutil.copyfileobj(apart, file)
        output.size = file.tell()
    return output


def _nodes(connection: dict) -> Iterator[dict]:
    yield from connection.get("nodes") or (edge["node"] for edge in connection.get("edges", ()))


def _flat(node: dict, parent: str | None) -> Iterator[dict]:
    """An object without its connections, then their nodes, each with the id of its parent."""
    connections = [key for key, value in node.items() if isinstance(value, Connection)]
    if connections and "id" not in node:
        raise BulkError(
            "The parent 'node' field for a nested connection must select the 'id' field without an"
            " alias and must be of 'ID' return type."
        )
    children = [node.pop(key) for key in connections]
    if parent:
        node["__parentId"] = parent
    yield node
    for connection in children:
        for child in _nodes(connection):
            yield from _flat(child, node["id"])

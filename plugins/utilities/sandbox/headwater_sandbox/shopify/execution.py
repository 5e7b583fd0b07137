"""GraphQL over documents: graphql-core executes, and documents are read by a plan.

graphql-core resolves field by field, which takes milliseconds for an order of a thousand fields.
Below the root nothing is left to resolve: what a selection asks of a type is worked out once, and
then applied to each document.
"""

import base64
from collections.abc import Callable
from typing import Any

from graphql import (
    ExecutionContext,
    ExecutionResult,
    FieldNode,
    GraphQLError,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLSchema,
    execute,
    get_named_type,
    is_abstract_type,
    is_enum_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_object_type,
    is_specified_scalar_type,
)
from graphql.execution.values import get_argument_values
from graphql.language import DocumentNode

from headwater_sandbox.shopify.store import Reader

CURRENCY = "VND"
# What a field that may not be null holds where a document has none.
EMPTY_SCALARS = {
    "Boolean": False,
    "DateTime": "1970-01-01T00:00:00Z",
    "Decimal": "0.0",
    "Float": 0.0,
    "Int": 0,
    "Money": "0.0",
    "UnsignedInt64": "0",
}
Complete = Callable[[Any], Any]


def _as_it_is(value: Any) -> Any:
    return value


class Connection(dict):
    """The answer to a connection, so that a bulk operation can tell it from other objects."""


class DocumentExecution(ExecutionContext):
    """Reads objects from documents: dicts whose keys are fields, with lists for connections."""

    def complete_object_value(self, return_type, field_nodes, info, path, result):
        return self._object(return_type, field_nodes)(result)

    def _object(self, of_type: GraphQLObjectType, nodes: list[FieldNode]) -> Complete:
        reader: Reader = self.context_value
        fields, is_more_than_reference = [], False
        for key, selected in self.collect_subfields(of_type, nodes).items():
            name = selected[0].name.value
            if name == "__typename":
                fields.append((key, name, lambda _, name=of_type.name: name))
                continue
            field = of_type.fields[name]
            arguments = get_argument_values(field, selected[0], self.variable_values)
            fields.append((key, name, self._value(field.type, selected, arguments)))
            is_more_than_reference |= name != "id"

        is_legacy = any(name == "legacyResourceId" for _, name, _ in fields)

        def complete(source: dict) -> dict:
            if is_more_than_reference and len(source) == 1 and "id" in source:
                source = reader.document(source["id"]) or source
            if is_legacy and "id" in source:
                # Every id has an older form, its number.
                source = {"legacyResourceId": source["id"].rpartition("/")[2]} | source
            return {
                key: value(source.get(name)) if value else source.get(name)
                for key, name, value in fields
            }

        return complete

    def _value(self, of_type, nodes: list[FieldNode], arguments: dict) -> Complete | None:
        """What makes an answer of a document's value; None where it is one already."""
        if is_non_null_type(of_type):
            complete = self._value(of_type.of_type, nodes, arguments) or _as_it_is
            if is_abstract_type(of_type.of_type):  # no type can be made up
                return lambda value: complete({} if value is None else value)
            empty = complete(empty_value(of_type.of_type))
            return lambda value: empty if value is None else complete(value)
        if is_list_type(of_type):
            item = self._value(of_type.of_type, nodes, {}) or _as_it_is
            first = arguments.get("first")
            return lambda value: value and [item(one) for one in value[:first]]
        if is_leaf_type(of_type):
            if not is_enum_type(of_type) and not is_specified_scalar_type(of_type):
                return None  # Shopify's own scalars are what they are in documents
            return lambda value: value if value is None else of_type.serialize(value)
        if is_abstract_type(of_type):
            return self._abstract(of_type, nodes)
        complete = self._object(of_type, nodes)
        if not of_type.name.endswith("Connection"):
            return lambda value: value if value is None else complete(value)
        return lambda value: (
            value if value is None else Connection(complete(slice_of(value, arguments)))
        )

    def _abstract(self, of_type, nodes: list[FieldNode]) -> Complete:
        plans: dict[str, Complete] = {}

        def complete(value):
            if value is None:
                return None
            name = type_name(self.schema, of_type, value)
            if name not in plans:
                plans[name] = self._object(self.schema.type_map[name], nodes)
            return plans[name](value)

        return complete


def run(
    schema: GraphQLSchema,
    query: DocumentNode,
    reader: Reader,
    root: dict[str, Any],
    variables: dict[str, Any] | None = None,
    operation_name: str | None = None,
) -> ExecutionResult:
    """Execute a valid query; `root` has a value or a function of the arguments by root field."""
    return execute(
        schema,
        query,
        root_value=root,
        context_value=reader,
        variable_values=variables,
        operation_name=operation_name,
        field_resolver=_resolve_root,
        type_resolver=lambda value, info, of_type: type_name(info.schema, of_type, value),
        execution_context_class=DocumentExecution,
    )


def _resolve_root(root: dict, info: GraphQLResolveInfo, **arguments: Any) -> Any:
    if info.field_name not in root:
        raise GraphQLError(f"the stand-in has no {info.field_name}")
    value = root[info.field_name]
    return value(**arguments) if callable(value) else value


def type_name(schema: GraphQLSchema, of_type, value: dict) -> str:
    """The concrete type of a document: what it says, its gid, or the first that its keys fit."""
    possible = {one.name: one for one in schema.get_possible_types(of_type)}
    said = value.get("__typename") or value.get("id", "").removeprefix("gid://shopify/")
    if (name := said.partition("/")[0]) in possible:
        return name
    for name, one in possible.items():
        if one.fields.keys() >= value.keys():
            return name
    raise GraphQLError(f"a document of unknown type among {of_type.name}: {sorted(value)}")


def empty_value(of_type) -> Any:
    """What stands where a document lacks a value that may not be null."""
    if is_list_type(of_type) or get_named_type(of_type).name.endswith("Connection"):
        return []
    if is_object_type(of_type):
        return {}
    if is_enum_type(of_type):
        return CURRENCY if of_type.name == "CurrencyCode" else next(iter(of_type.values))
    return EMPTY_SCALARS.get(of_type.name, "")


def slice_of(value: Connection | list, arguments: dict[str, Any]) -> dict:
    """The slice of a document's list that a connection's arguments ask for."""
    if isinstance(value, dict):
        return value
    start = int(base64.b64decode(arguments["after"])) + 1 if arguments.get("after") else 0
    first = arguments.get("first")
    end = len(value) if first is None else start + first
    edges = [
        {"cursor": base64.b64encode(str(start + index).encode()).decode(), "node": node}
        for index, node in enumerate(value[start:end])
    ]
    return as_connection(edges, has_next=end < len(value), has_previous=start > 0)


def as_connection(edges: list[dict], has_next: bool, has_previous: bool) -> dict:
    return {
        "edges": edges,
        "nodes": [edge["node"] for edge in edges],
        "pageInfo": {
            "hasNextPage": has_next,
            "hasPreviousPage": has_previous,
            "startCursor": edges[0]["cursor"] if edges else None,
            "endCursor": edges[-1]["cursor"] if edges else None,
        },
    }

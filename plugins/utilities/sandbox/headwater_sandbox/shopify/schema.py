"""Shopify's Admin schemas, as it publishes them; schema/pack.py makes the files."""

import functools
import json
import lzma
from pathlib import Path

from graphql import GraphQLSchema, build_client_schema

HERE = Path(__file__).parent / "schema"
VERSIONS = tuple(sorted(file.name.partition(".")[0] for file in HERE.glob("*.json.xz")))


@functools.cache
def load(version: str) -> GraphQLSchema:
    """The schema of one of VERSIONS; a second to build, so it is kept."""
    introspection = json.loads(lzma.decompress((HERE / f"{version}.json.xz").read_bytes()))
    # Shopify's own schema needs no checking: that would take longer than building it.
    return build_client_schema(introspection, assume_valid=True)

"""What the dbt project promises as a whole: who reads what, what is described, what never gets out.

What a column is made of is followed through the compiled SQL of every model, from the sources on.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest
from dbt_project import TRANSFORM, Project
from sqlglot import exp, parse_one
from sqlglot.lineage import lineage
from sqlglot.optimizer.annotate_types import annotate_types
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import build_scope

Column = tuple[str, str, str]  # schema, relation, column

# What has one currency however many rows it has: an order, a line of it, a facility
# (assert_one_currency_per_facility).
ORDERS = {"order_id", "order_key", "line_id", "order_line_id"}
OF_ONE_CURRENCY = {"currency_code", "facility_id"} | ORDERS


@dataclass(frozen=True)
class Warehouse:
    """The project's compiled SQL, by relation, and the columns of every relation with their types.

    `queries` are in the order in which they can run.
    """

    queries: dict[tuple[str, str], str]
    types: dict[str, dict[str, dict[str, str]]]

    def query(self, relation: tuple[str, str]) -> exp.Expression:
        """The relation's SQL, each column with its table, without stars."""
        query = parse_one(self.queries[relation], dialect="duckdb")
        return qualify(query, schema=self.types, dialect="duckdb")

    def made_of(self, relation: tuple[str, str]) -> Iterator[tuple[str, set[Column]]]:
        """Each column of a relation, and the columns beneath whose values are in it."""
        query = self.query(relation)
        # By what rows are grouped and ordered, and what is compared, is in no value.
        for window in query.find_all(exp.Window):
            window.set("partition_by", None)
            window.set("order", None)
        for predicate in list(query.find_all(exp.Predicate)):
            if predicate.find_ancestor(exp.Where, exp.Join, exp.Having, exp.Qualify) is None:
                predicate.replace(exp.true())
        scope = build_scope(query)
        for name in query.named_selects:
            node = lineage(name, query, None, scope=scope, dialect="duckdb")
            yield (
                name,
                {
                    (leaf.expression.db, leaf.expression.name, leaf.name.split(".")[-1].strip('"'))
                    for leaf in node.walk()
                    if isinstance(leaf.expression, exp.Table)
                },
            )

    def personal(self, declared: set[Column]) -> set[Column]:
        """The columns with values of a declared column in them, however far from it."""
        found = set(declared)
        for relation in self.queries:
            for name, parts in self.made_of(relation):
                if parts & found:
                    found.add((*relation, name))
        return found

    def mixed_sums(self, relation: tuple[str, str]) -> list[str]:
        """The sums of amounts in a relation's SQL that nothing keeps to one currency."""
        query = annotate_types(self.query(relation), schema=self.types, dialect="duckdb")
        found = []
        for total in query.find_all(exp.Sum, exp.Avg):
            select = total.find_ancestor(exp.Select)
            if isinstance(total.parent, exp.Window):
                by = partition(total.parent, select)
            else:
                by = (select.args.get("group") or exp.Group()).expressions
            names = {column.name for one in by for column in one.find_all(exp.Column)}
            if is_amount(total.this) and not names & OF_ONE_CURRENCY:
                found.append(total.sql("duckdb"))
        return found


def partition(window: exp.Window, select: exp.Select) -> list[exp.Expression]:
    """What a window is partitioned by, in itself or under its name."""
    named = {one.name: one for one in select.args.get("windows") or []}
    return named.get(window.alias, window).args.get("partition_by") or []


def is_amount(expression: exp.Expression) -> bool:
    """Whether it is a decimal; counts and quantities are integers."""
    return expression.is_type(exp.DataType.Type.DECIMAL, exp.DataType.Type.UNKNOWN)


@pytest.fixture(scope="module")
def nodes(built: Project) -> dict[str, dict]:
    """The manifest's models and snapshots by name."""
    found = built.artifact("manifest")["nodes"].values()
    return {node["name"]: node for node in found if node["resource_type"] in ("model", "snapshot")}


@pytest.fixture(scope="module")
def warehouse(built: Project, nodes: dict[str, dict]) -> Warehouse:
    relations = {node["unique_id"]: (node["schema"], name) for name, node in nodes.items()}
    queries = {
        relations[result["unique_id"]]: result["compiled_code"]
        for result in built.artifact("run_results")["results"]  # as they ended
        if result["unique_id"] in relations
    }
    return Warehouse(queries, column_types(built.warehouse))


def column_types(path: Path) -> dict[str, dict[str, dict[str, str]]]:
    types: dict = defaultdict(lambda: defaultdict(dict))
    with duckdb.connect(str(path), read_only=True) as connection:
        for schema, relation, column, type_ in connection.execute(
            "select table_schema, table_name, column_name, data_type "
            "from information_schema.columns"
        ).fetchall():
            types[schema][relation][column.lower()] = type_
    return {schema: dict(relations) for schema, relations in types.items()}


def declared_personal(built: Project) -> set[Column]:
    """The columns with `meta.pii`, of sources, snapshots and models."""
    manifest = built.artifact("manifest")
    return {
        (node["schema"], node["name"], name.lower())
        for kind in ("nodes", "sources")
        for node in manifest[kind].values()
        for name, column in node.get("columns", {}).items()
        if column["config"]["meta"].get("pii")
    }


def test_every_relation_and_column_is_described(built: Project, nodes: dict[str, dict]) -> None:
    documented = {
        (node["schema"], node["name"], name)
        for node in nodes.values()
        for name, column in node["columns"].items()
        if column["description"] and node["description"]
    }
    schemas = {node["schema"] for node in nodes.values()}
    columns = built.query(
        "select table_schema, table_name, column_name from information_schema.columns"
    )
    assert {column for column in columns if column[0] in schemas} == documented


def test_each_model_has_its_folders_schema_and_a_yaml_file_beside_it(
    nodes: dict[str, dict],
) -> None:
    for name, node in nodes.items():
        path = Path(node["original_file_path"])
        folder = path.parts[1] if node["resource_type"] == "model" else path.parts[0]
        assert node["schema"] == folder
        assert node["patch_path"] == f"headwater://{path.with_suffix('.yml')}"
        assert path.stem == name
    assert {node["schema"] for node in nodes.values()} == {
        *("snapshots", "staging", "intermediate", "marts", "restricted", "reporting"),
    }


def test_layers_read_only_what_is_beneath_them(nodes: dict[str, dict]) -> None:
    readable = {
        "staging": {"source"},
        "snapshots": {"source", "staging"},
        "intermediate": {"staging", "snapshots", "intermediate"},
        "marts": {"staging", "snapshots", "intermediate", "marts"},
        "restricted": {"staging", "intermediate"},
        "reporting": {"marts", "reporting"},
    }
    for node in nodes.values():
        for parent in node["depends_on"]["nodes"]:
            kind, _, name = parent.split(".", 2)
            layer = kind if kind == "source" else nodes[name]["schema"]
            assert layer in readable[node["schema"]], f"{node['name']} reads {parent}"


@pytest.fixture(scope="module")
def personal(built: Project, warehouse: Warehouse) -> set[Column]:
    return warehouse.personal(declared_personal(built))


def test_personal_data_ends_before_the_marts(personal: set[Column]) -> None:
    assert {schema for schema, *_ in personal} == {
        *("raw_rainbow", "raw_lana", "raw_shopify"),
        *("snapshots", "staging", "restricted"),
    }


def test_personal_data_is_declared_wherever_it_is(built: Project, personal: set[Column]) -> None:
    assert personal == declared_personal(built)


def test_personal_data_is_followed_through_what_is_made_of_it() -> None:
    types = {
        "raw": {"people": dict.fromkeys(("id", "email", "city"), "VARCHAR")},
        "staging": {"people": dict.fromkeys(("id", "address", "city"), "VARCHAR")},
        "marts": {"people": dict.fromkeys(("id", "hash", "place", "twin"), "VARCHAR")},
    }
    queries = {
        ("staging", "people"): """
            with source as (select * from raw.people)
            select id, lower(email) as address, city from source
        """,
        ("marts", "people"): """
            with people as (select *, md5(address) as hash from staging.people)
            select id, hash, case when address = 'x' then city end as place,
                min(id) over (partition by address) as twin
            from people union all select 'x', null, null, null
        """,
    }
    assert Warehouse(queries, types).personal({("raw", "people", "email")}) == {
        ("raw", "people", "email"),
        ("staging", "people", "address"),
        ("marts", "people", "hash"),
    }


def test_nothing_adds_two_currencies(warehouse: Warehouse) -> None:
    found = {
        relation: [total for total in warehouse.mixed_sums(relation) if 'seconds"' not in total]
        for relation in warehouse.queries
    }
    assert {relation: sums for relation, sums in found.items() if sums} == {}


@pytest.mark.parametrize(
    ("sql", "mixed"),
    [
        ("select sum(amount) as x from s.t", ["SUM"]),
        ("select day, avg(amount * 2) as x from s.t group by 1", ["AVG"]),
        ("select currency_code, sum(amount) as x from s.t group by 1", []),
        ("select sum(quantity) as x from s.t", []),
        ("select sum(case when day is null then 1 else 0 end) as x from s.t", []),
        ("with a as (select day, amount as b from s.t) select sum(b) as x from a", ["SUM"]),
        ("select sum(amount) over (partition by day) as x from s.t", ["SUM"]),
        ("select sum(amount) over w as x from s.t window w as (partition by day)", ["SUM"]),
        ("select sum(amount) over w as x from s.t window w as (partition by facility_id)", []),
        ("select sum(amount) over (partition by currency_code, day) as x from s.t", []),
    ],
)
def test_a_sum_over_currencies_is_found(sql: str, mixed: list[str]) -> None:
    columns = {"amount": "DECIMAL(28, 2)", "quantity": "BIGINT", "day": "DATE"}
    types = {"s": {"t": columns | {"currency_code": "VARCHAR", "facility_id": "BIGINT"}}}
    found = Warehouse({("s", "x"): sql}, types).mixed_sums(("s", "x"))
    assert [total.partition("(")[0] for total in found] == mixed


def test_marts_keep_their_contracts(nodes: dict[str, dict]) -> None:
    for node in nodes.values():
        if node["schema"] in ("marts", "restricted"):
            assert node["config"]["contract"]["enforced"]
        if node["schema"] == "marts":
            assert "primary_key" in [constraint["type"] for constraint in node["constraints"]]


def test_no_model_asks_which_warehouse_it_is_on() -> None:
    for folder in ("models", "snapshots"):
        for path in (TRANSFORM / folder).rglob("*.sql"):
            assert "target." not in path.read_text(), path

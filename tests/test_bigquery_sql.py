"""All SQL is BigQuery's: dbt's and the loader's statements, by Google's own analyzer, offline.

dbt builds the whole project on a BigQuery that has the analyzer for an engine, and raw tables made
by the loader's DDL from what the taps announce; so each relation's types are the next one's input.
"""

import copy
import datetime as dt
import difflib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
import pyarrow as pa
import pytest
import yaml
from bigquery_analyzer import Analyzer, Job, Server, SQLError, type_name
from headwater_reconcile.shopify import STREAMS as SHOP_STREAMS
from headwater_reconcile.shopify import Window
from headwater_reconcile.streams import Mode, Stream
from headwater_reconcile.windows import Comparison
from headwater_reports import dashboard, exports, message, notebook, warehouse
from headwater_reports.warehouse import Reader
from headwater_sandbox.postgres import Server as Postgres
from headwater_target_warehouse.bigquery_sql import BigQuerySQL
from headwater_target_warehouse.schema import NUMERIC, TIMESTAMP, Table, table_from_schema
from headwater_target_warehouse.warehouse import AUDIT_SCHEMA, AUDIT_TABLES
from shop_tables import shop_tables
from zetasql.types import Type, TypeKind

ROOT = Path(__file__).parents[1]
TRANSFORM = ROOT / "transform"
SOURCE_DDL = ROOT / "plugins/utilities/sandbox/headwater_sandbox/schema.sql"
POSTGRES_SETTINGS = ("host", "port", "user", "password", "database")
BIN = Path(sys.executable).parent
LOADER = BigQuerySQL("offline")
TEXT = pa.string()
ARROW = {
    "STRING": TEXT,
    "INT64": pa.int64(),
    "FLOAT64": pa.float64(),
    "NUMERIC": NUMERIC,
    "BOOL": pa.bool_(),
    "DATE": pa.date32(),
    "TIMESTAMP": TIMESTAMP,
}

spec = importlib.util.spec_from_file_location("access", ROOT / "docs/access.py")
access = importlib.util.module_from_spec(spec)
spec.loader.exec_module(access)

STAGED = "`offline`.`_headwater`.`staged`"
PARSED = "`offline`.`_headwater`.`staged_parsed`"

# dbt's own files of SQL, and the YAML files beside them, which declare tests and sources.
FILES = sorted(
    str(path.relative_to(TRANSFORM))
    for folder in ("models", "snapshots", "tests")
    for path in (TRANSFORM / folder).rglob("*.*")
    if "generic" not in path.parts
) + ["./dbt_project.yml"]
EXTRACTOR = yaml.safe_load((ROOT / "extract/extractors.meltano.yml").read_text())
STREAMS = [
    pattern.removesuffix(".*")
    for plugin in EXTRACTOR["plugins"]["extractors"]
    if plugin["name"] == "tap-postgres"
    for pattern in plugin["select"]
] + [*shop_tables()]

# SQL that DuckDB takes, or that a hand slips into; and what BigQuery has against it.
WRONG = {
    "a function of DuckDB": (
        "select list_sum([1, 2])",
        "Function not found: list_sum",
    ),
    "strftime": (
        "select strftime(ordered_at, '%Y') from `offline`.`marts`.`fct_orders`",
        "Function not found: strftime",
    ),
    "date_trunc with its arguments swapped": (
        "select date_trunc('month', ordered_at) from `offline`.`marts`.`fct_orders`",
        "A valid date part name is required",
    ),
    "a cast by ::": (
        "select order_id::string from `offline`.`marts`.`fct_orders`",
        'Syntax error: Expected end of input but got ":"',
    ),
    "a union of two types": (
        "select order_id from `offline`.`marts`.`fct_orders` union all select 'x'",
        "Column 1 in UNION ALL has incompatible types: INT64, STRING",
    ),
    "an unknown column": (
        "select order_nr from `offline`.`marts`.`fct_orders`",
        "Unrecognized name: order_nr",
    ),
    "an unknown table": (
        "select * from `offline`.`marts`.`fct_order`",
        "Table not found: offline.marts.fct_order",
    ),
    "an ambiguous column": (
        "select order_id from `offline`.`marts`.`fct_orders` as a "
        "inner join `offline`.`staging`.`stg_rainbow__orders` as b on a.order_id = b.order_id",
        "Column name order_id is ambiguous",
    ),
    "integer division by //": (
        "select order_id // 2 from `offline`.`marts`.`fct_orders`",
        'Syntax error: Unexpected "/"',
    ),
    "a column neither grouped nor aggregated": (
        "select status, count(*) from `offline`.`marts`.`fct_orders`",
        "references column status which is neither grouped nor aggregated",
    ),
    "a list literal of two types": (
        "select [1, 'a'] as list",
        "Array elements of types {INT64, STRING} do not have a common supertype",
    ),
    "select * exclude": (
        "select * exclude (status) from `offline`.`marts`.`fct_orders`",
        "Syntax error",
    ),
    "qualify without a window": (
        "select order_id from `offline`.`marts`.`fct_orders` qualify order_id = 1",
        "The QUALIFY clause requires analytic function to be present",
    ),
    "a string and a number joined": (
        "select status || order_id from `offline`.`marts`.`fct_orders`",
        "No matching signature for operator ||",
    ),
    "a cast with parameters": (
        "select cast(order_id as numeric(9, 2)) from `offline`.`marts`.`fct_orders`",
        "Parameterized types are not allowed in CAST expressions",
    ),
    "double": (
        "select cast(order_id as double) from `offline`.`marts`.`fct_orders`",
        "Type not found: double",
    ),
    "a timestamp compared with a date": (
        "select 1 from `offline`.`marts`.`fct_orders` where ordered_at = current_date()",
        "No matching signature for operator = for argument types: TIMESTAMP, DATE",
    ),
    "JSON compared": (
        "select tags from `offline`.`staging`.`stg_rainbow__products` group by tags",
        "Grouping by expressions of type JSON is not allowed",
    ),
    "a filter on an aggregate": (
        "select count(*) filter (where is_sale) from `offline`.`marts`.`fct_orders`",
        "Syntax error",
    ),
    "a timestamp of nanoseconds": (
        "select cast('2026-01-01' as timestamp(9))",
        "Timestamp precision type parameter is not supported",
    ),
    "what only Google's internal dialect has": (
        "select cast(1 as uint64)",
        "Type not found: uint64",
    ),
}


@dataclass
class Build:
    """What came of `dbt build` and `dbt source freshness` on the analyzer."""

    project: Path
    directory: Path
    server: Server
    manifest: dict
    results: dict[str, dict]  # by unique id
    output: str

    def problems(self, path: str) -> list[str]:
        """What is wrong with the nodes that a file declares, one line each."""
        nodes = {
            node_id: node
            for kind in ("nodes", "unit_tests", "sources")
            for node_id, node in self.manifest[kind].items()
            if node["original_file_path"] == path
            and (kind != "sources" or node["loaded_at_query"])  # else dbt asks nothing of it
        }
        found = []
        for node_id, node in nodes.items():
            result = self.results.get(node_id)
            if result is None:
                found.append(f"{node['name']}: dbt did not come to it")
            elif result["status"] in ("error", "skipped", "runtime error"):
                found.append(self._explain(node, result))
        return found

    def _explain(self, node: dict, result: dict) -> str:
        message = " ".join((result.get("message") or result["status"]).split())
        for job in self.server.jobs.values():
            if job.error and job.error.message in message:
                return f"{self._location(job, node)}: {node['name']}: {job.error.message}"
        return f"{node['original_file_path']}: {node['name']}: {message}"

    def _location(self, job: Job, node: dict) -> str:
        """Path and line, of the source's line that is most like the one the analyzer points at."""
        path = node["original_file_path"]
        source = [line.strip() for line in (self.project / path).read_text().splitlines()]
        faulty = job.sql.splitlines()[job.error.line - 1].strip()
        like = difflib.get_close_matches(faulty, source, n=1)
        return f"{path}:{source.index(like[0]) + 1}" if like else f"{path} (compiled: {faulty})"


def dbt(server: Server, directory: Path, *arguments: str, project: Path = TRANSFORM) -> str:
    result = subprocess.run(
        [BIN / "dbt", "--no-use-colors", *arguments],
        cwd=ROOT,
        env=os.environ
        | {
            "BIGQUERY_API_ENDPOINT": server.endpoint,
            "DBT_PROJECT_DIR": str(project),
            "DBT_PROFILES_DIR": str(project / "profiles"),
            "DBT_TARGET": "offline",
            "DBT_TARGET_PATH": str(directory),
            "DBT_LOG_PATH": str(directory / "logs"),
            "DBT_SCHEMA_PREFIX": "",
            **{name: name for name in access.GROUPS.values()},
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    return result.stdout + result.stderr


def run_build(server: Server, directory: Path, *select: str, project: Path = TRANSFORM) -> Build:
    output = dbt(server, directory, "build", *select, project=project)
    read = lambda name: json.loads((directory / f"{name}.json").read_text())  # noqa: E731
    results = {r["unique_id"]: r for r in read("run_results")["results"]}
    return Build(project, directory, server, read("manifest"), results, output)


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Table]:
    """By stream, the table the loader makes for what the taps announce."""
    directory = tmp_path_factory.mktemp("source")
    with Postgres(directory / "postgres") as source:
        with psycopg.connect(source.dsn) as connection:
            connection.execute(SOURCE_DDL.read_text())
        settings = {name: getattr(source, name) for name in POSTGRES_SETTINGS}
        config = directory / "config.json"
        config.write_text(json.dumps(settings | {"filter_schemas": ["rainbow", "lana"]}))
        found = subprocess.run(
            [BIN / "headwater-tap-postgres", "--config", config, "--discover"],
            check=True,
            capture_output=True,
            timeout=120,
        )
    return {
        stream["tap_stream_id"]: table_from_schema(
            stream["tap_stream_id"],
            stream["schema"],
            stream["key_properties"],
            default_schema="raw",
        )
        for stream in json.loads(found.stdout)["streams"]
    } | shop_tables()


@pytest.fixture(scope="module")
def analyzer(tables: dict[str, Table]) -> Analyzer:
    """It knows what the loader makes: raw tables and audit; and what BigQuery itself has."""
    analyzer = Analyzer()
    for schema in {AUDIT_SCHEMA, *(table.schema for table in tables.values())}:
        analyzer.check(LOADER.create_schema_sql(schema))
    for table in tables.values():
        analyzer.check(
            LOADER.create_table_sql(
                table.schema, table.name, columns_of(table), lowered(table.keys)
            )
        )
    for name, columns in AUDIT_TABLES.items():
        analyzer.check(LOADER.create_table_sql(AUDIT_SCHEMA, name, columns))
    privileges = ("object_schema", "object_name", "object_type", "privilege_type", "grantee")
    analyzer.relations["offline", "region-us", "information_schema", "object_privileges"] = {
        name: Type(type_kind=TypeKind.TYPE_STRING) for name in privileges
    }
    return analyzer


def columns_of(table: Table) -> dict[str, pa.DataType]:
    schema = table.arrow_schema
    return {n.lower(): t for n, t in zip(schema.names, schema.types, strict=True)}


def lowered(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name.lower() for name in names)


@pytest.fixture(scope="module")
def built(analyzer: Analyzer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Build]:
    with Server(analyzer) as server:
        build = run_build(server, tmp_path_factory.mktemp("built"))
        # What exists already is merged into, which is other SQL.
        merged = ("--select", "resource_type:snapshot", "config.materialized:incremental")
        build.results |= run_build(server, build.directory, *merged).results
        dbt(server, build.directory, "source", "freshness")
        sources = json.loads((build.directory / "sources.json").read_text())["results"]
        build.results |= {result["unique_id"]: result for result in sources}
        yield build


@pytest.mark.parametrize("path", FILES)
def test_dbt(built: Build, path: str) -> None:
    assert not built.problems(path)


def test_every_node_is_in_one_of_the_files(built: Build) -> None:
    declared = {
        node["original_file_path"]
        for kind in ("nodes", "unit_tests", "sources")
        for node in built.manifest[kind].values()
    }
    assert declared <= {*FILES}
    assert {f for f in FILES if f.endswith(".sql")} <= declared


# What each row of a batch file is given that is loaded as it is.
METADATA = {"_sdc_extracted_at": "2026-01-01", "_sdc_sequence": 1, "_sdc_table_version": None}


@pytest.mark.parametrize("metadata", [None, METADATA], ids=["rows", "files"])
@pytest.mark.parametrize("stream", STREAMS)
def test_loader(
    analyzer: Analyzer, tables: dict[str, Table], stream: str, metadata: dict | None
) -> None:
    table = tables[stream]
    raw = analyzer.relations["offline", table.schema, table.name]
    assert {name: type_name(type_) for name, type_ in raw.items()} == {
        name: LOADER.type_name(type_).partition("(")[0].upper()
        for name, type_ in columns_of(table).items()
    }
    types = {name: table.arrow_schema.field(name).type for name in table.arrow_schema.names}
    if metadata:
        types = {column.name: column.type for column in table.columns}
    analyzer.check(LOADER.create_staging_sql(STAGED, types))
    view_sql = LOADER.create_parsed_view_sql(PARSED, STAGED, table, metadata)
    if view_sql:
        analyzer.check(view_sql)
    source = PARSED if view_sql else STAGED
    for sql in (
        LOADER.check_sql(STAGED, table),
        LOADER.merge_sql(source, table) if table.keys else "",
        LOADER.insert_sql(source, table),
        LOADER.changed_sql(source, table),
        LOADER.activate_sql(table, 1, hard_delete=False),
        LOADER.activate_sql(table, 1, hard_delete=True),
    ):
        if sql:
            analyzer.check(sql)


def test_loader_grows_tables_and_keeps_its_audit(
    analyzer: Analyzer, tables: dict[str, Table]
) -> None:
    table = replace(tables["rainbow-orders"], name="growing")
    columns = columns_of(table)
    # In place, and by a table that replaces it.
    for name, type_ in (("payment_id", NUMERIC), ("order_id", NUMERIC), ("customer_id", TEXT)):
        analyzer.check(LOADER.create_table_sql(table.schema, table.name, columns))
        analyzer.check(LOADER.widen_sql(table, columns, name, type_))
    analyzer.check(LOADER.add_column_sql(table, "added", pa.decimal128(12, 2)))
    for name, audit in AUDIT_TABLES.items():
        given = {column: "2026-01-01" if t == TIMESTAMP else "1" for column, t in audit.items()}
        analyzer.check(LOADER.insert_audit_sql(name, given))
    row = dict.fromkeys(AUDIT_TABLES["streams"])
    analyzer.check(LOADER.register_sql([row, row]))


class AnalyzedWarehouse:
    """Answers each query that the analyzer lets through with the given values, by column name."""

    quote, literal = LOADER.quote, LOADER.literal

    def __init__(self, analyzer: Analyzer, **values: object) -> None:
        self.analyzer, self.values, self.said = analyzer, values, []

    def columns(self, schema: str, name: str) -> dict[str, Type]:
        return self.analyzer.relations["offline", schema, name]

    def query(self, sql: str) -> pa.Table:
        kind, columns = self.analyzer.check(sql)
        self.said.append(kind)
        return pa.table({name: [self.values[name]] for name in columns})

    def execute(self, sql: str) -> int:
        kind, _ = self.analyzer.check(sql)
        self.said.append(kind)
        return 1


class EmptyShop:
    """It has nothing but one row that has changed since it was read."""

    def __init__(self, at: dt.datetime) -> None:
        self.at = at

    def allow(self, scopes: tuple[str, ...]) -> None: ...

    def counts(self, kind: object, windows: list[Window]) -> list[int]:
        return [0] * len(windows)

    def rows(self, kind: object, window: Window) -> dict[str, dt.datetime]:
        return {"gid://shopify/Any/2": self.at}

    def times(self, kind: object, ids: list[str]) -> dict[str, dt.datetime]:
        return {"gid://shopify/Any/2": self.at}


@pytest.mark.parametrize("stream", SHOP_STREAMS)
def test_reconcile_of_the_shop(analyzer: Analyzer, stream: str) -> None:
    at = dt.datetime(2026, 6, 30, 12, tzinfo=dt.UTC)
    held = {"id": "gid://shopify/Any/1", "changed_at": at, "y": 2026, "m": 6, "n": 0}
    warehouse = AnalyzedWarehouse(analyzer, **held)
    state = {SHOP_STREAMS[stream].time: at.isoformat()}
    known = Stream(stream, "raw_shopify", stream, ("id",), None)
    comparison = Comparison(warehouse, EmptyShop(at), known, Mode(), state, "2015-01-01T00:00:00Z")
    result = comparison.run()
    # What the warehouse alone has is marked: a part of an order with its order, the rest by id.
    assert (result.deleted, result.lost) == (1, 1)
    assert Counter(warehouse.said)["UPDATE"] == 1
    assert {*warehouse.said} == {"QUERY", "UPDATE"}


def test_contracts_declare_what_the_analyzer_infers(analyzer: Analyzer, built: Build) -> None:
    models = [
        node
        for node in built.manifest["nodes"].values()
        if node["config"].get("contract", {}).get("enforced")
    ]
    assert models
    for node in models:
        _, inferred = analyzer.check(built.results[node["unique_id"]]["compiled_code"])
        declared = {c["name"]: base_type(c["data_type"]) for c in node["columns"].values()}
        assert declared == {name: type_name(t) for name, t in inferred.items()}, node["name"]


def test_reports(built: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What pages, notebooks, exports and the message select is typed, and found without rows."""
    checked = []

    def run(sql: str) -> pa.Table:
        _, columns = built.server.analyzer.check(sql)
        checked.append(sql)
        return pa.schema([(n, ARROW[type_name(t)]) for n, t in columns.items()]).empty_table()

    @contextmanager
    def opened() -> Iterator[Reader]:
        yield reader

    reader = Reader(run, prefix="offline.")  # the project, as the analyzer knows relations by it
    monkeypatch.setattr(warehouse, "open_warehouse", opened)
    pages = dashboard.build(reader, ROOT / "analyze", tmp_path)
    pages += notebook.build(reader, ROOT / "analyze", tmp_path)
    exports.build(reader, ROOT / "analyze", tmp_path)
    assert message.text(reader) == "Headwater: nothing has been loaded yet."
    assert len(pages) >= 6
    assert not reader.missing
    assert len(checked) >= len(reader.reads) > 20
    with pytest.raises(SQLError, match=r"Table not found: offline\.reporting\.total_sale"):
        reader.query("select * from reporting.total_sale")


def base_type(declared: str) -> str:
    """The type as the analyzer names it, which infers nothing of what stands in brackets."""
    name = declared.partition("(")[0].strip().upper()
    return {"BOOLEAN": "BOOL", "DECIMAL": "NUMERIC"}.get(name, name)


@pytest.mark.parametrize(("sql", "said"), WRONG.values(), ids=WRONG)
def test_wrong_sql_is_refused(built: Build, sql: str, said: str) -> None:
    with pytest.raises(SQLError, match=re.escape(said)):
        built.server.analyzer.check(sql)


# One word changed in a real model: the file, what is found and put, and what is said of it.
SLIPS = [
    (
        "models/reporting/financial_summary.sql",
        "{{ dbt.date_trunc('month', 'transacted_at') }}",
        "date_trunc('month', transacted_at)",
        "A valid date part name is required",
    ),
    (
        "models/marts/finance/fct_facilities.sql",
        "{{ to_numeric('facilities.annual_rate', 18, 6) }}",
        "cast(facilities.annual_rate as float64)",
        "enforced contract",
    ),
    (
        "models/staging/rainbow/stg_rainbow__brands.sql",
        "brand_name",
        "brand_title",
        "Unrecognized name: brand_title",
    ),
    ("tests/assert_consistent_total_sales.sql", "sum(", "total(", "Function not found: total"),
]


def test_every_job_of_dbt_has_labels_and_a_cap(built: Build) -> None:
    for job in built.server.jobs.values():
        assert job.configuration["labels"]["app"] == "headwater"
        assert int(job.configuration["query"]["maximumBytesBilled"]) == 10 * 2**30
    labelled = {job.configuration["labels"]["node"] for job in built.server.jobs.values()}
    assert {"fct_orders", "total_sales", "assert_positive_balances"} <= labelled


def test_access_is_as_the_page_says(built: Build) -> None:
    assert access.PAGE.read_text() == access.page(built.manifest), "run: python docs/access.py"
    granted = {
        " ".join(job.sql.partition("*/")[2].split()).rstrip(";")
        for job in built.server.jobs.values()
        if job.kind == "GRANT"
    }
    expected = {
        "grant `roles/bigquery.dataViewer` on "
        f"{'view' if node['config']['materialized'] == 'view' else 'table'} "
        f'`offline`.`{dataset}`.`{node["name"]}` to "group:{access.GROUPS[role]}"'
        for dataset, role in (("marts", "analyst"), ("reporting", "reporting"))
        for node in built.manifest["nodes"].values()
        if node["resource_type"] == "model" and node["schema"] == dataset
    }
    assert granted == expected


def test_another_grant_is_another_page(built: Build) -> None:
    manifest = copy.deepcopy(built.manifest)
    grants = manifest["nodes"]["model.headwater.stg_lana__customers"]["config"]["grants"]
    grants[access.READ] = ["group:HEADWATER_ANALYST_GROUP"]
    assert "| `staging` | `stg_lana__customers` | everything | read |  |" in access.page(manifest)
    grants[access.READ] = ["allAuthenticatedUsers"]
    with pytest.raises(ValueError, match="stg_lana__customers"):
        access.table(manifest)


def test_reporting_reads_marts_by_itself(built: Build) -> None:
    reporting = {"projectId": "offline", "datasetId": "reporting"}
    (entry,) = built.server.access["marts"]
    assert entry["dataset"] == {"dataset": reporting, "targetTypes": ["VIEWS"]}


def test_a_view_among_the_marts_reads_what_is_beneath_by_itself(built: Build) -> None:
    marts = {
        node["unique_id"]: node
        for node in built.manifest["nodes"].values()
        if node["schema"] == "marts" and node["config"]["materialized"] == "view"
    }
    assert marts.keys() == {"model.headwater.fct_dbt_results"}
    for beneath, dataset, name in (
        ("staging", "marts", "fct_dbt_results"),
        ("_headwater", "staging", "stg_headwater__dbt_results"),
    ):
        (entry,) = built.server.access[beneath]
        assert entry["view"] == {"projectId": "offline", "datasetId": dataset, "tableId": name}


def test_what_dbt_did_is_recorded_in_few_statements(built: Build) -> None:
    sent = [job for job in built.server.jobs.values() if "dbt_results`" in job.sql]
    kinds = ["CREATE_TABLE", "ALTER_TABLE", "INSERT"]
    written = [job for job in sent if job.kind in kinds]
    # Twice, for the two builds; the check of freshness sends none.
    assert [job.kind for job in written] == kinds * 2
    assert not [job.error for job in sent if job.error]
    made = ("model", "snapshot", "seed", "test", "unit_test")
    nodes = [n for n in built.results if n.partition(".")[0] in made]
    assert all(f"'{node}'" in written[2].sql for node in nodes)


def test_facts_are_partitioned_and_clustered(built: Build) -> None:
    ddl = {
        job.configuration["labels"]["node"]: " ".join(job.sql.split())
        for job in built.server.jobs.values()
        if job.kind == "CREATE_TABLE_AS_SELECT"
    }
    for fact, column, first in (
        ("fact_sales", "timestamp_trunc(sold_at, month)", "product_key"),
        ("fct_orders", "timestamp_trunc(ordered_at, month)", "customer_key"),
        ("fct_transactions", "timestamp_trunc(transacted_at, month)", "customer_id"),
        ("fct_disbursals", "timestamp_trunc(disbursed_at, month)", "customer_key"),
        ("fct_payments", "timestamp_trunc(paid_at, month)", "customer_key"),
        ("fct_facilities", "date_trunc(opened_on, month)", "customer_id"),
    ):
        assert f"partition by {column}" in ddl[fact]
        assert f"cluster by {first}" in ddl[fact]


def test_a_slip_in_a_model_is_found_by_name(
    built: Build, tmp_path: Path, analyzer: Analyzer
) -> None:
    project = Path(shutil.copytree(TRANSFORM, tmp_path / "transform"))
    for path, found, put, _ in SLIPS:
        text = (project / path).read_text()
        assert found in text
        (project / path).write_text(text.replace(found, put, 1))
    shutil.copytree(built.directory, tmp_path / "target")
    names = [Path(path).stem for path, *_ in SLIPS]
    with Server(analyzer) as server:
        build = run_build(
            server,
            tmp_path / "target",
            "--select",
            *names,
            "--indirect-selection",
            "empty",
            project=project,
        )
    for path, _, _, said in SLIPS:
        (problem,) = build.problems(path)
        assert said in problem
        assert path in problem
    assert build.problems(SLIPS[0][0])[0].startswith(f"{SLIPS[0][0]}:13: financial_summary: ")

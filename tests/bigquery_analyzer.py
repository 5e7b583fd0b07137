"""BigQuery with Google's SQL analyzer for an engine: it knows every column's type and no data.

`Analyzer` checks a statement against its catalog, and a statement that creates a relation adds it
there. `Server` lets dbt-bigquery talk to it, so that what is checked is what dbt sends: the DDL
around a model, its tests, its grants.
"""

import json
import re
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import wasmtime
from zetasql.core import wasm_client
from zetasql.core.exceptions import ServerError
from zetasql.core.local_service import ZetaSqlLocalService
from zetasql.types import (
    AnalyzerOptions,
    ErrorMessageMode,
    LanguageFeature,
    LanguageOptions,
    NameResolutionMode,
    ProductMode,
    ResolvedNodeKind,
    SimpleCatalog,
    SimpleColumn,
    SimpleTable,
    Type,
    ZetaSQLBuiltinFunctionOptions,
)

CACHE = Path(__file__).parents[1] / "output/zetasql"

# What BigQuery's reference documents, of the analyzer's 300 features. One that is missing here
# makes the check stricter than BigQuery, never laxer.
FEATURES = """
    NUMERIC_TYPE BIGNUMERIC_TYPE DECIMAL_ALIAS CIVIL_TIME GEOGRAPHY INTERVAL_TYPE JSON_TYPE
    RANGE_TYPE PARAMETERIZED_TYPES DISABLE_FLOAT32 ANALYTIC_FUNCTIONS SELECT_STAR_EXCEPT_REPLACE
    QUALIFY PIVOT UNPIVOT TABLESAMPLE IS_DISTINCT PIPES WITH_ON_SUBQUERY WITH_RECURSIVE
    GROUP_BY_ALL GROUP_BY_ROLLUP GROUPING_SETS GROUPING_BUILTIN GROUP_BY_STRUCT
    NULLS_FIRST_LAST_IN_ORDER_BY FOR_SYSTEM_TIME_AS_OF ALLOW_DASHES_IN_TABLE_NAME
    TABLE_VALUED_FUNCTIONS NAMED_ARGUMENTS SAFE_FUNCTION_CALL LIKE_ANY_SOME_ALL
    HAVING_IN_AGGREGATE ORDER_BY_IN_AGGREGATE LIMIT_IN_AGGREGATE
    NULL_HANDLING_MODIFIER_IN_AGGREGATE NULL_HANDLING_MODIFIER_IN_ANALYTIC FORMAT_IN_CAST
    DATE_ARITHMETICS DATE_TIME_CONSTRUCTORS EXTENDED_DATE_TIME_SIGNATURES WEEK_WITH_WEEKDAY
    ADDITIONAL_STRING_FUNCTIONS ENCRYPTION CBRT_FUNCTIONS ROUND_WITH_ROUNDING_MODE
    JSON_ARRAY_FUNCTIONS JSON_VALUE_EXTRACTION_FUNCTIONS JSON_ARRAY_VALUE_EXTRACTION_FUNCTIONS
    JSON_LAX_VALUE_EXTRACTION_FUNCTIONS JSON_CONSTRUCTOR_FUNCTIONS JSON_MUTATOR_FUNCTIONS
    JSON_KEYS_FUNCTION CREATE_TABLE_PARTITION_BY CREATE_TABLE_CLUSTER_BY CREATE_TABLE_NOT_NULL
    CREATE_TABLE_LIKE CREATE_TABLE_FIELD_ANNOTATIONS CREATE_TABLE_AS_SELECT_COLUMN_LIST
    CREATE_TABLE_COPY CREATE_VIEW_WITH_COLUMN_LIST CREATE_VIEWS_WITH_COLUMN_OPTIONS
    COLUMN_DEFAULT_VALUE UNENFORCED_PRIMARY_KEYS FOREIGN_KEYS ALTER_TABLE_RENAME_COLUMN
    ALTER_COLUMN_SET_DATA_TYPE OMIT_INSERT_COLUMN_LIST DML_UPDATE_WITH_JOIN
"""
STATEMENTS = """
    QUERY CREATE_TABLE CREATE_TABLE_AS_SELECT CREATE_VIEW CREATE_SCHEMA ALTER_TABLE DROP
    TRUNCATE MERGE INSERT UPDATE DELETE GRANT REVOKE
"""

# The analyzer types these as Google's other engines do; BigQuery does not take them.
PARAMETERS_IN_CAST = re.compile(
    r"\bas\s+(?:(?:big)?(?:numeric|decimal)|string|bytes)\s*\(\s*\d", re.IGNORECASE
)

# dbt reads one row from the queries of its tests and of freshness, and takes no row from a unit
# test for "no difference".
ROW = {
    "failures": "0",
    "should_warn": "false",
    "should_error": "false",
    "max_loaded_at": str(int(time.time() * 1e6)),
    "snapshotted_at": str(int(time.time() * 1e6)),
}
REST_TYPES = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN"}


class SQLError(Exception):
    """The analyzer's message, and the line and column of the statement it points at, from 1."""

    def __init__(self, message: str) -> None:
        found = re.search(r" \[at (\d+):(\d+)\]$", message)
        self.line, self.column = map(int, found.groups()) if found else (1, 1)
        self.message = message[: found.start()] if found else message
        super().__init__(message)


@dataclass
class Analyzer:
    """Google's analyzer, set to what BigQuery accepts, and the relations it knows of.

    `relations`: by lower-case (project, dataset, name), the columns in order and their types.
    """

    relations: dict[tuple[str, ...], dict[str, Type]] = field(default_factory=dict)
    views: set[tuple[str, ...]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._service = _load()
        self._language = LanguageOptions(
            product_mode=ProductMode.PRODUCT_EXTERNAL,
            name_resolution_mode=NameResolutionMode.NAME_RESOLUTION_DEFAULT,
            enabled_language_features=[
                LanguageFeature[f"FEATURE_{name}"] for name in FEATURES.split()
            ],
            supported_statement_kinds=[
                ResolvedNodeKind[f"RESOLVED_{name}_STMT"] for name in STATEMENTS.split()
            ],
            reserved_keywords=["QUALIFY"],
        )
        self._options = AnalyzerOptions(
            language_options=self._language,
            error_message_mode=ErrorMessageMode.ERROR_MESSAGE_ONE_LINE,
            default_timezone="UTC",
        )

    def check(self, sql: str) -> tuple[str, dict[str, Type]]:
        """The kind of the statement, such as `MERGE`, and the columns it gives, in order.

        A relation that it creates is in the catalog from then on.

        Raises:
            SQLError: BigQuery would refuse it.
        """
        if found := PARAMETERS_IN_CAST.search(sql):
            before = sql[: found.start()].splitlines() or [""]
            at = f"[at {len(before)}:{len(before[-1]) + 1}]"
            raise SQLError(f"Parameterized types are not allowed in CAST expressions {at}")
        with self._lock:
            try:
                statement = self._service.analyze(
                    sql_statement=sql,
                    options=self._options,
                    simple_catalog=self._catalog(sql.lower()),
                ).resolved_statement
            except ServerError as error:
                # The package's own `message` ends with the first line.
                message = error.raw_error.partition("Message: ")[2] or error.raw_error
                raise SQLError(" ".join(message.split())) from None
            name = type(statement).__name__.removeprefix("Resolved").removesuffix("Stmt")
            kind = re.sub(r"(?<!^)(?=[A-Z])", "_", name).upper()
            columns = {
                c.name: c.column.type for c in getattr(statement, "output_column_list", None) or ()
            } or {c.name: c.type for c in getattr(statement, "column_definition_list", None) or ()}
            if kind.startswith("CREATE_") and columns:
                name = tuple(part.lower() for part in statement.name_path)
                self.relations[name] = columns
                if kind == "CREATE_VIEW":
                    self.views.add(name)
            return kind, columns

    def _catalog(self, sql: str) -> SimpleCatalog:
        """The relations whose name the statement has in it: all of them would take a while."""
        projects: dict[str, dict[str, list[SimpleTable]]] = defaultdict(lambda: defaultdict(list))
        for number, (path, columns) in enumerate(self.relations.items(), 1):
            project, *dataset, name = path
            if name not in sql:
                continue
            projects[project][".".join(dataset)].append(
                SimpleTable(
                    name=name,
                    full_name=".".join(path),
                    serialization_id=number,
                    column=[SimpleColumn(name=n, type=t) for n, t in columns.items()],
                )
            )
        return SimpleCatalog(
            name="bigquery",
            builtin_function_options=ZetaSQLBuiltinFunctionOptions(language_options=self._language),
            catalog=[
                SimpleCatalog(
                    name=project,
                    catalog=[
                        _nested(dataset.split("."), tables) for dataset, tables in sets.items()
                    ],
                )
                for project, sets in projects.items()
            ],
        )


def _nested(path: list[str], tables: list[SimpleTable]) -> SimpleCatalog:
    if len(path) == 1:
        return SimpleCatalog(name=path[0], table=tables)
    return SimpleCatalog(name=path[0], catalog=[_nested(path[1:], tables)])


def _load() -> ZetaSqlLocalService:
    """The analyzer; compiling its WebAssembly takes half a minute once, and is kept."""
    CACHE.mkdir(parents=True, exist_ok=True)
    settings = CACHE / "wasmtime.toml"
    settings.write_text(f"[cache]\ndirectory = {json.dumps(str(CACHE))}\n")

    def config() -> wasmtime.Config:
        made = wasmtime.Config()
        made.cache = str(settings)
        return made

    wasm_client.Config = config  # the package has no setting for it
    return ZetaSqlLocalService.get_instance()


def type_name(type_: Type) -> str:
    """BigQuery's name of a type, without the parameters that the analyzer does not infer."""
    if type_.is_array():
        return f"ARRAY<{type_name(type_.as_array().element_type)}>"
    if type_.is_struct():
        fields = (f"{f.field_name} {type_name(f.field_type)}" for f in type_.as_struct().field)
        return f"STRUCT<{', '.join(fields)}>"
    return "FLOAT64" if type_.is_double() else type_.type_kind.name.removeprefix("TYPE_")


@dataclass
class Job:
    """A statement as it was sent; `error` says why it was refused, if it was."""

    sql: str
    configuration: dict[str, Any]
    kind: str = ""
    columns: dict[str, Type] = field(default_factory=dict)
    error: SQLError | None = None


class Server:
    """BigQuery's REST interface to an analyzer, as much of it as dbt uses; a context manager."""

    def __init__(self, analyzer: Analyzer) -> None:
        self.analyzer = analyzer
        self.jobs: dict[str, Job] = {}
        self.access: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self._http = ThreadingHTTPServer(
            ("127.0.0.1", 0), type("Handler", (_Handler,), {"of": self})
        )
        self.endpoint = f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def answer(self, method: str, path: list[str], body: dict[str, Any]) -> tuple[int, Any]:
        """Status and body of the answer to a request below `/bigquery/v2/projects/`."""
        match method, path:
            case "POST", [_, "jobs"]:
                return self._run(body)
            case "GET", [_, "jobs", job_id]:
                return 200, self._job(job_id)
            case "GET", [_, "queries", job_id]:
                return 200, self._results(job_id)
            case _, [project, "datasets", dataset]:
                if "access" in body:
                    self.access[dataset] = body["access"]
                reference = {"projectId": project, "datasetId": dataset}
                access = self.access[dataset]
                return 200, {"datasetReference": reference, "location": "US", "access": access}
            case _, [project, "datasets", dataset, "tables", name]:
                return self._table(project, dataset, name)
            case "GET", [project, "datasets", dataset, "tables"]:
                names = [n for n in self.analyzer.relations if n[:-1] == (project, dataset.lower())]
                return 200, {"tables": [self._table(*name)[1] for name in names]}
            case "GET", [_, "datasets"]:
                return 200, {}
            case _:
                return 200, body

    def _run(self, body: dict[str, Any]) -> tuple[int, Any]:
        sql = body["configuration"]["query"]["query"]
        job = self.jobs[body["jobReference"]["jobId"]] = Job(sql, body["configuration"])
        try:
            job.kind, job.columns = self.analyzer.check(sql)
        except SQLError as error:
            job.error = error
            reason = {"message": str(error), "reason": "invalidQuery", "domain": "global"}
            return 400, {"error": {"code": 400, "message": str(error), "errors": [reason]}}
        return 200, self._job(body["jobReference"]["jobId"])

    def _job(self, job_id: str) -> dict[str, Any]:
        job = self.jobs[job_id]
        kind = "SELECT" if job.kind == "QUERY" else job.kind
        target = {"projectId": "offline", "datasetId": "_results", "tableId": job_id}
        query = {**job.configuration["query"], "destinationTable": target}
        return {
            "jobReference": {"projectId": "offline", "jobId": job_id, "location": "US"},
            "configuration": {**job.configuration, "query": query},
            "status": {"state": "DONE"},
            "statistics": {"query": {"statementType": kind, "totalBytesProcessed": "0"}},
        }

    def _results(self, job_id: str) -> dict[str, Any]:
        columns = self.jobs[job_id].columns if self.jobs[job_id].kind == "QUERY" else {}
        rows = (
            [{"f": [{"v": ROW[c]} for c in columns]}]
            if columns and columns.keys() <= ROW.keys()
            else []
        )
        return {
            "jobReference": {"projectId": "offline", "jobId": job_id, "location": "US"},
            "jobComplete": True,
            "schema": _schema(columns),
            "totalRows": str(len(rows)),
            "rows": rows,
        }

    def _table(self, project: str, dataset: str, name: str) -> tuple[int, Any]:
        columns = self.analyzer.relations.get((project, dataset.lower(), name.lower()), {})
        if not columns and dataset != "_results":
            return 404, {"error": {"code": 404, "message": "Not found", "errors": []}}
        return 200, {
            "tableReference": {"projectId": project, "datasetId": dataset, "tableId": name},
            "type": "VIEW" if (project, dataset, name) in self.analyzer.views else "TABLE",
            "schema": _schema(columns),
            "numRows": "0",
        }


def _schema(columns: dict[str, Type]) -> dict[str, Any]:
    fields = []
    for name, type_ in columns.items():
        item = type_.as_array().element_type if type_.is_array() else type_
        rest: dict[str, Any] = {
            "name": name,
            "mode": "REPEATED" if type_.is_array() else "NULLABLE",
        }
        if item.is_struct():
            parts = {f.field_name: f.field_type for f in item.as_struct().field}
            rest |= {"type": "RECORD", **_schema(parts)}
        else:
            rest["type"] = REST_TYPES.get(type_name(item), type_name(item))
        fields.append(rest)
    return {"fields": fields}


class _Handler(BaseHTTPRequestHandler):
    of: Server
    protocol_version = "HTTP/1.1"

    def _respond(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        body = json.loads(self.rfile.read(length) or "{}")
        path = self.path.partition("?")[0].partition("/projects/")[2].split("/")
        status, answer = self.of.answer(self.command, path, body)
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _respond

    def log_message(self, *_: object) -> None:
        pass

"""Each report is an exposure, and depends on exactly the models that it reads."""

import shutil
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest
import sqlglot
import yaml
from dbt_project import ROOT, Project
from headwater_reports import dashboard, exports, message, notebook, warehouse
from headwater_reports.warehouse import Reader

ANALYZE = ROOT / "analyze"
INDEX = yaml.safe_load((ANALYZE / "index.yml").read_text())


def only(folder: Path, **listed: list) -> Path:
    """analyze/, with an index that lists nothing else."""
    source = folder / "analyze"
    shutil.copytree(ANALYZE, source, dirs_exist_ok=True)
    (source / "index.yml").write_text(yaml.safe_dump({"dashboards": [], "notebooks": []} | listed))
    return source


# How each is made: by exposure, from a reader, in a folder that is its own.
Make = Callable[[Reader, Path], object]
REPORTS: dict[str, Make] = {
    **{
        f"{name}_dashboard": lambda reader, folder, name=name: dashboard.build(
            reader, only(folder, dashboards=[name]), folder
        )
        for name in INDEX["dashboards"]
    },
    **{
        f"{entry['name']}_notebook": lambda reader, folder, entry=entry: notebook.build(
            reader, only(folder, notebooks=[entry]), folder
        )
        for entry in INDEX["notebooks"]
    },
    "exports": lambda reader, folder: exports.build(reader, ANALYZE, folder),
    "message": lambda reader, folder: message.text(reader),
}


def reads(built: Project, make: Make, folder: Path, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The relations that the SQL of a report names, by a parser."""
    found: set[str] = set()
    with duckdb.connect(str(built.warehouse), read_only=True) as connection:

        def run(sql: str):
            named = sqlglot.parse_one(sql, dialect="bigquery").find_all(sqlglot.exp.Table)
            found.update(f"{table.db}.{table.name}" for table in named if table.db)
            return connection.execute(sql).to_arrow_table()

        @contextmanager
        def opened():
            yield reader

        reader = Reader(run)
        monkeypatch.setattr(warehouse, "open_warehouse", opened)  # which a notebook calls itself
        make(reader, folder)
    assert reader.reads == found
    return found


@pytest.mark.parametrize("name", REPORTS)
def test_an_exposure_depends_on_what_the_report_reads(built, tmp_path, monkeypatch, name):
    manifest = built.artifact("manifest")
    declared = {
        f"{manifest['nodes'][model]['schema']}.{manifest['nodes'][model]['name']}"
        for model in manifest["exposures"][f"exposure.headwater.{name}"]["depends_on"]["nodes"]
    }
    assert reads(built, REPORTS[name], tmp_path, monkeypatch) == declared
    assert {relation.partition(".")[0] for relation in declared} <= {"marts", "reporting"}


def test_a_model_that_is_read_and_not_declared_is_seen(built, tmp_path, monkeypatch):
    def reads_more(reader: Reader, folder: Path) -> None:
        with warehouse.open_warehouse() as opened:
            opened.query("with x as (select * from reporting.total_sales) select * from x")
        reader.query("select count(*) from marts.fct_orders as o, marts.dim_customers as c")

    assert reads(built, reads_more, tmp_path, monkeypatch) == {
        *("reporting.total_sales", "marts.fct_orders", "marts.dim_customers"),
    }


def test_what_lies_beneath_the_marts_is_seen(built, tmp_path, monkeypatch):
    """`Reader.reads` knows marts and reporting only: what else is read differs from it."""

    def reads_staging(reader: Reader, folder: Path) -> None:
        reader.query("select * from staging.stg_lana__customers")

    with pytest.raises(AssertionError, match="staging.stg_lana__customers"):
        reads(built, reads_staging, tmp_path, monkeypatch)


def test_every_report_is_an_exposure_that_says_what_it_is(built):
    exposures = built.artifact("manifest")["exposures"].values()
    assert {exposure["name"] for exposure in exposures} == REPORTS.keys()
    for exposure in exposures:
        assert exposure["description"]
        assert exposure["maturity"]
        assert exposure["owner"]["name"]
        assert exposure["owner"]["email"]
        kind = exposure["name"].rpartition("_")[2]
        assert exposure["type"] == (kind if kind in ("dashboard", "notebook") else "application")

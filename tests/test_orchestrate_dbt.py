"""What dbt does as Dagster shows it: a project of two models, built as the real one is."""

import json
import subprocess
import sys
import textwrap

import dagster as dg
import duckdb
import pytest
from dagster_project import Dagster, imported
from headwater_project import project_in

FILES = {
    "dbt_project.yml": "{name: mini, profile: mini}",
    "profiles.yml": """
        mini:
          target: duckdb
          outputs: {duckdb: {type: duckdb, path: "{{ env_var('MINI_PATH') }}"}}
    """,
    "models/orders.sql": """
        select id, amount, amount * 2 as twice from {{ source('raw', 'orders') }}
    """,
    "models/prices.sql": """
        with orders as (select * from {{ ref('orders') }})
        select id as order_id, {{ env_var('PRICE', 'coalesce(twice, amount)') }} as price
        from orders
    """,
    "models/models.yml": """
        sources: [{name: raw, tables: [{name: orders}]}]
        models:
        - name: orders
          columns:
          - {name: id, data_tests: [unique]}
          - {name: amount, data_tests: [{not_null: {config: {severity: warn}}}]}
          - {name: twice}
        - name: prices
          config: {contract: {enforced: true}}
          columns: [{name: order_id, data_type: integer}, {name: price, data_type: integer}]
    """,
}
ORDERS, PRICES = dg.AssetKey("orders"), dg.AssetKey("prices")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    for project in project_in(tmp_path_factory.mktemp("project")):
        Dagster(project)
        path = project.root / "mini.duckdb"
        folder = project.root / "mini"
        for name, text in FILES.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(textwrap.dedent(text))
        with duckdb.connect(str(path)) as connection:
            connection.execute("create schema raw")
            connection.execute("create table raw.orders (id integer, amount integer)")
            connection.execute("insert into raw.orders values (1, 10), (2, null)")
        project.environment |= {
            "MINI_PATH": str(path),
            "DBT_PROJECT_DIR": str(folder),
            "DBT_PROFILES_DIR": str(folder),
            "DBT_TARGET_PATH": str(project.output / "mini"),
            "DBT_LOG_PATH": str(project.output / "mini"),
        }
        done = project.run("dbt", "--quiet", "parse")
        assert done.code == 0, done.text
        with imported(project):
            yield project


@pytest.fixture(scope="module")
def manifest(project):
    return json.loads((project.output / "mini/manifest.json").read_text())


@pytest.fixture
def build(project, manifest):
    """A function that builds the models; what came of it."""
    from orchestrate.transform import Dbt, modelled

    folder = str(project.root / "mini")

    def build():
        return dg.materialize(
            [modelled(manifest)],
            resources={"dbt": Dbt(project_dir=folder, profiles_dir=folder), "turn": None},
            raise_on_error=False,
        )

    return build


def events(result, kind):
    return [event for event in result.all_events if event.event_type_value == kind]


def said(result):
    (failure,) = result.get_step_failure_events()
    return failure.step_failure_data.user_failure_data.description


def test_a_test_that_only_warns_is_a_check_that_warns(build):
    result = build()
    assert result.success
    checks = {check.check_name: check for check in result.get_asset_check_evaluations()}
    assert {name: check.passed for name, check in checks.items()} == {
        "unique_orders_id": True,
        "not_null_orders_amount": False,
    }
    assert checks["not_null_orders_amount"].severity == dg.AssetCheckSeverity.WARN
    lineage = {
        event.asset_key: event.materialization.metadata["dagster/column_lineage"].value
        for event in events(result, "ASSET_MATERIALIZATION")
    }
    raw = dg.AssetKey(["raw", "orders"])
    assert lineage[ORDERS].deps_by_column["twice"] == [dg.TableColumnDep(raw, "amount")]
    assert lineage[PRICES].deps_by_column == {
        "order_id": [dg.TableColumnDep(ORDERS, "id")],
        "price": [dg.TableColumnDep(ORDERS, "amount"), dg.TableColumnDep(ORDERS, "twice")],
    }


def test_a_broken_contract_is_not_tried_again(build, monkeypatch, project):
    monkeypatch.setenv("PRICE", "cast(twice as varchar)")
    result = build()
    assert not result.success
    assert events(result, "STEP_UP_FOR_RETRY") == []
    assert "This model has an enforced contract that failed" in said(result)
    assert f"full log: {project.output / 'mini/dbt.log'}" in said(result)
    assert [event.asset_key for event in events(result, "ASSET_MATERIALIZATION")] == [ORDERS]


def test_a_warehouse_that_somebody_has_open_is_tried_again(build, monkeypatch, project):
    from orchestrate import transform

    path = project.root / "mini.duckdb"
    open_it = f"import duckdb; held = duckdb.connect('{path}'); print(flush=True); input()"
    holder = subprocess.Popen(
        [sys.executable, "-c", open_it], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    holder.stdout.readline()

    def close_it(context, failure, original=transform.or_retry):
        holder.communicate(b"\n")
        return original(context, failure)

    monkeypatch.setattr(transform, "or_retry", close_it)
    result = build()
    assert result.success
    assert len(events(result, "STEP_UP_FOR_RETRY")) == 1


def test_what_bigquery_billed_is_on_the_model(project, manifest, tmp_path):
    from orchestrate.transform import billed

    results = [
        {"unique_id": name, "adapter_response": {"bytes_billed": size}}
        for name, size in (("model.mini.orders", 10485760), ("test.mini.unique_orders_id.1", 7))
    ] + [{"unique_id": "model.mini.prices", "adapter_response": {"rows_affected": 2}}]
    about = {"env": {"DAGSTER_RUN_ID": "of-this-run"}}
    path = tmp_path / "run_results.json"
    path.write_text(json.dumps({"metadata": about, "results": results}))
    (observed,) = billed("of-this-run", manifest, tmp_path)
    assert observed.asset_key == ORDERS
    assert observed.metadata["bytes_billed"].value == 10485760
    assert [*billed("of-another", manifest, tmp_path)] == []
    path.unlink()
    assert [*billed("of-this-run", manifest, tmp_path)] == []

"""dbt's models, snapshots and seeds as assets, its tests as their checks, made by `dbt build`."""

import fcntl
import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DbtCliResource, dbt_assets
from dagster_dbt.errors import DagsterDbtCliRuntimeError
from packaging.version import Version
from sqlglot.errors import SqlglotError

from .automation import REFRESH
from .commands import OWNERS, POOL, or_retry, redacted
from .lineage import column_lineage
from .project import ROOT

PROJECT = ROOT / "transform"
EXPOSURES = ROOT / "analyze" / "exposures"


def manifest() -> dict[str, Any]:
    """dbt's manifest, parsed again only when a file of the project is newer. Asks no warehouse.

    Raises:
        RuntimeError: dbt cannot parse the project; in its words.
    """
    target = ROOT / "output" / "dagster" / "dbt" / os.environ["DBT_TARGET"]
    path = target / "manifest.json"
    target.mkdir(parents=True, exist_ok=True)
    # The webserver and the daemon load at once: one parses, and nobody reads what is half written.
    with (target / "manifest.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists() or path.stat().st_mtime < max(map(_newest, (PROJECT, EXPOSURES))):
            done = subprocess.run(
                ["dbt", "--no-use-colors", "parse"],
                env=os.environ | {"DBT_TARGET_PATH": str(target), "DBT_LOG_PATH": str(target)},
                capture_output=True,
                text=True,
            )
            if done.returncode:
                raise RuntimeError(f"dbt parse failed:\n{done.stdout}{done.stderr}")
            path.touch()  # dbt leaves what it would write again as it is
        return json.loads(path.read_text())


def _newest(folder: Path) -> float:
    """When a file was last written, added or removed; seconds."""
    return max(
        path.stat().st_mtime
        for parent, folders, files in os.walk(folder)
        if "__pycache__" not in parent
        for path in (Path(parent), *(Path(parent, name) for name in files))
    )


class Dbt(DbtCliResource):
    """dagster-dbt's resource, without the four seconds in which it asks dbt for its version and
    makes an adapter: no part of it that this project uses needs them."""

    @cached_property
    def _cli_version(self) -> Version:
        return Version(metadata.version("dbt-core"))

    def _initialize_dbt_core_adapter(self, args: Sequence[str]) -> None:
        return None


class Translator(DagsterDbtTranslator):
    """Groups by folder; everything else as dbt's files say."""

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str | None:
        if dbt_resource_props["resource_type"] == "source":
            return None
        _, *folders, _ = dbt_resource_props["fqn"]
        return "_".join(folders) or f"{dbt_resource_props['resource_type']}s"

    def get_description(self, dbt_resource_props: Mapping[str, Any]) -> str:
        return dbt_resource_props["description"]

    def get_owners(self, dbt_resource_props: Mapping[str, Any]) -> list[str]:
        return [*(super().get_owners(dbt_resource_props) or OWNERS)]

    def get_automation_condition(
        self, dbt_resource_props: Mapping[str, Any]
    ) -> dg.AutomationCondition:
        return REFRESH


def sources(manifest: Mapping[str, Any]) -> dict[dg.AssetKey, dict[str, Any]]:
    """What dbt's sources say of the assets that they are: description, columns."""
    translator = Translator()
    found = {}
    for unique_id in manifest["sources"]:
        spec = translator.get_asset_spec(manifest, unique_id, None)
        found[spec.key] = {
            "description": spec.description,
            "metadata": {k: v for k, v in spec.metadata.items() if k == "dagster/column_schema"},
        }
    return found


def modelled(manifest: Mapping[str, Any]) -> dg.AssetsDefinition:
    """Everything that `dbt build` makes; any part of it, in one build."""
    translator = Translator()

    @dbt_assets(
        manifest=manifest,
        dagster_dbt_translator=translator,
        name="dbt_build",
        pool=POOL,
        required_resource_keys={"dbt", "turn"},
    )
    def build(context: dg.AssetExecutionContext) -> Iterator[Any]:
        yield from built(context, manifest, ["build"], asset=context)

    return build


def built(
    context: dg.AssetExecutionContext,
    manifest: Mapping[str, Any],
    words: Sequence[str],
    asset: dg.AssetExecutionContext | None = None,
) -> Iterator[Any]:
    """Run dbt; yields what it made and tested.

    `asset`: the context, where the step is that of dbt's own assets.

    Raises:
        Failure or RetryRequested: dbt did not end well; in its words.
    """
    translator = Translator()
    # Where `dbt build` by hand leaves its results: the summary shows the newest.
    target = Path(os.environ["DBT_TARGET_PATH"])
    # dbt notes the first among its results: they are not from outside. dagster-dbt reads JSON, a
    # person the file.
    os.environ |= {
        "DBT_ENV_CUSTOM_ENV_DAGSTER_RUN_ID": context.run.run_id,
        "DBT_LOG_FORMAT_FILE": "debug",
    }
    invocation = context.resources.dbt.cli(
        words, context=asset, manifest=manifest, target_path=target
    )
    try:
        for event in invocation.stream_raw_events():
            for made in event.to_default_asset_events(
                manifest, translator, asset, target, invocation.project
            ):
                if isinstance(made, dg.Output):
                    node = manifest["nodes"][event.raw_event["data"]["node_info"]["unique_id"]]
                    lineage = _lineage(node, manifest, translator, target)
                    made = made.with_metadata({**made.metadata, **lineage})
                yield made
    except DagsterDbtCliRuntimeError as error:
        failure = dg.Failure(
            redacted(f"{error}\n(full log: {target / 'dbt.log'})"),
            metadata={"log": dg.MetadataValue.path(target / "dbt.log")},
            allow_retries=False,
        )
        raise or_retry(context.op_execution_context, failure) from None
    finally:
        for observed in billed(context.run.run_id, manifest, target):
            context.log_event(observed)


def _lineage(
    node: Mapping[str, Any], manifest: Mapping[str, Any], translator: Translator, target: Path
) -> dict[str, Any]:
    """Which columns a model's columns are made of, as metadata."""
    path = target / "compiled" / node["package_name"] / node["original_file_path"]
    if node["resource_type"] != "model" or not path.exists():
        return {}
    try:
        lineage = column_lineage(path.read_text(), node, manifest, translator)
    except SqlglotError:  # SQL that the warehouse took, and its parser does not know
        return {}
    return {"dagster/column_lineage": lineage}


def billed(run_id: str, manifest: Mapping[str, Any], target: Path) -> Iterator[dg.AssetObservation]:
    """What BigQuery billed for what the run's build made: dbt says it once all is made."""
    try:
        build = json.loads((target / "run_results.json").read_text())
    except OSError:  # dbt has not come so far
        return
    if build["metadata"]["env"].get("DAGSTER_RUN_ID") != run_id:
        return
    for result in build["results"]:
        node, bill = manifest["nodes"].get(result["unique_id"]), result["adapter_response"]
        if node and node["resource_type"] != "test" and "bytes_billed" in bill:
            yield dg.AssetObservation(
                Translator().get_asset_key(node), metadata={"bytes_billed": bill["bytes_billed"]}
            )

"""What people open, after the models: the copy of the warehouse, and the reports made from it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dagster as dg
from headwater_reconcile.publish import published_path
from headwater_reconcile.warehouse import is_bigquery

from .audit import warehouse_file
from .automation import REFRESH
from .commands import OWNERS, POOL, or_retry
from .project import ROOT, Job
from .transform import Translator


def reported(
    job: Job, models: dg.AssetsDefinition, manifest: Mapping[str, Any]
) -> dg.AssetsDefinition:
    """What the job does after dbt, in one command: the copy, after every model that no other one
    reads; and each exposure, on the models it declares and on the copy that it is read from."""
    copy = dg.AssetSpec(
        "warehouse_copy",
        deps=models.keys - {dep.asset_key for spec in models.specs for dep in spec.deps},
        group_name="reading",
        kinds={"duckdb"},
        owners=OWNERS,
        description="The warehouse as people and reports read it; swapped in at once.",
        metadata={"file": dg.MetadataValue.path(published_path(warehouse_file()))},
        automation_condition=REFRESH,
    )
    copies = [] if is_bigquery() else [copy]
    exposures = manifest["exposures"].values()
    specs = [*copies, *(_exposed(exposure, manifest, copies) for exposure in exposures)]

    @dg.multi_asset(
        name="reports", specs=specs, pool=POOL, required_resource_keys={"meltano", "turn"}
    )
    def make(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
        step = context.op_execution_context
        try:
            step.resources.meltano.run(step, *job.ending)
        except dg.Failure as failure:
            raise or_retry(step, failure) from None
        for spec in specs:
            yield dg.MaterializeResult(asset_key=spec.key)

    return make


def _exposed(
    exposure: Mapping[str, Any], manifest: Mapping[str, Any], copies: Sequence[dg.AssetSpec]
) -> dg.AssetSpec:
    translator = Translator()
    models = [manifest["nodes"][unique_id] for unique_id in exposure["depends_on"]["nodes"]]
    return dg.AssetSpec(
        dg.AssetKey(["reports", exposure["name"]]),
        deps=[*(translator.get_asset_key(model) for model in models), *copies],
        group_name="reports",
        kinds={exposure["type"]},
        owners=[exposure["owner"]["email"]],
        description=exposure["description"],
        metadata={"maturity": exposure["maturity"], **_place(exposure["url"])},
        automation_condition=REFRESH,
    )


def _place(url: str | None) -> dict[str, dg.MetadataValue]:
    """Where the report is: a file of this project's, or a web page."""
    scheme, _, path = (url or "").partition(":")
    if scheme == "file":
        return {"file": dg.MetadataValue.path(ROOT / path)}
    return {"url": dg.MetadataValue.url(url)} if url else {}

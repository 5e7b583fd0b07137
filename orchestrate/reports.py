"""What people open, as assets after the models: one for each exposure, all made by one command."""

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg

from .automation import REFRESH
from .commands import or_retry
from .extract_load import POOL
from .project import ROOT
from .transform import Translator

COMMAND = "reports:build"


def reported(manifest: Mapping[str, Any], published: dg.AssetsDefinition) -> dg.AssetsDefinition:
    """An asset for each exposure, on the models it declares and the copy that it is read from."""
    specs = [_spec(exposure, manifest, published) for exposure in manifest["exposures"].values()]

    @dg.multi_asset(
        name="reports_build",
        specs=specs,
        pool=POOL,
        required_resource_keys={"meltano", "turn"},
    )
    def build(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
        try:
            context.resources.meltano.run(context, COMMAND)
        except dg.Failure as failure:
            raise or_retry(context, failure) from None
        for spec in specs:
            yield dg.MaterializeResult(asset_key=spec.key)

    return build


def _spec(
    exposure: Mapping[str, Any], manifest: Mapping[str, Any], published: dg.AssetsDefinition
) -> dg.AssetSpec:
    translator = Translator()
    models = [manifest["nodes"][unique_id] for unique_id in exposure["depends_on"]["nodes"]]
    return dg.AssetSpec(
        dg.AssetKey(["reports", exposure["name"]]),
        deps=[*(translator.get_asset_key(model) for model in models), *published.keys],
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

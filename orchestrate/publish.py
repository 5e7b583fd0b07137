"""The copy of the warehouse that people read, swapped in once everything is made."""

import dagster as dg

from .automation import REFRESH
from .commands import or_retry
from .extract_load import OWNERS, POOL
from .project import Job
from .reports import COMMAND


def published(job: Job, models: dg.AssetsDefinition) -> dg.AssetsDefinition:
    """What the job does after dbt, before the reports; it comes after every model that no other one
    reads."""

    @dg.asset(
        name="warehouse_copy",
        deps=[*(models.keys - {dep.asset_key for spec in models.specs for dep in spec.deps})],
        group_name="reading",
        kinds={"duckdb"},
        owners=OWNERS,
        description="The warehouse as people and reports read it; swapped in at once.",
        automation_condition=REFRESH,
        pool=POOL,
        required_resource_keys={"meltano", "turn"},
    )
    def publish(context: dg.AssetExecutionContext) -> None:
        try:
            context.resources.meltano.run(context, *(c for c in job.ending if c != COMMAND))
        except dg.Failure as failure:
            raise or_retry(context, failure) from None

    return publish

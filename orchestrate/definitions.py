"""The asset graph: sources, streams, models, what people open; the job, when it runs."""

import os

import dagster as dg

from .again import reread, sales_days
from .automation import NIGHTLY, REFRESHING, SCHEDULE, SENSORS
from .commands import meltano, turn
from .extract_load import loaded_streams, reconciled, source_tables
from .freshness import fresh
from .notify import tell_failure, tell_recovery
from .outside import history
from .project import ENVIRONMENT, declared_job, streams
from .reports import reported
from .transform import PROJECT, Dbt, manifest, modelled, sources

declared = declared_job(ENVIRONMENT)
dbt = manifest()
models = modelled(dbt)
opened = reported(declared, models, dbt)
described = sources(dbt)
# What the loader and reconcile note beside the streams.
noted = described.keys() - {
    dg.AssetKey(stream.table) for tap in declared.loaders for stream in streams(tap)
}

defs = dg.Definitions(
    assets=[
        *(table for tap in declared.loaders for table in source_tables(tap)),
        *(loaded_streams(tap, declared, described, noted) for tap in declared.loaders),
        *(dg.AssetSpec(key, group_name=key.path[0], **described[key]) for key in sorted(noted)),
        models,
        sales_days(declared, dbt),
        opened,
    ],
    asset_checks=[reconciled(declared), fresh(dbt)],
    jobs=[NIGHTLY, reread(declared, noted)],
    schedules=[SCHEDULE],
    sensors=[
        history(declared, dbt, noted, opened, SENSORS),
        REFRESHING,
        tell_failure,
        tell_recovery,
    ],
    resources={
        "meltano": meltano,
        "turn": turn,
        "dbt": Dbt(project_dir=str(PROJECT), profiles_dir=os.environ["DBT_PROFILES_DIR"]),
    },
    executor=dg.in_process_executor,
    # The terminal gets what the tools say; Dagster's events are in the UI.
    loggers={"console": dg.colored_console_logger.configured({"log_level": "ERROR"})},
)

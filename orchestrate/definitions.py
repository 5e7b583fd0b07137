"""The asset graph: sources, streams, models, the copy that people read; the job, when it runs."""

import os

import dagster as dg

from .again import reread, sales_days
from .automation import NIGHTLY, REFRESHING, SCHEDULE, SENSORS
from .commands import meltano, turn
from .extract_load import loaded_streams, source_tables
from .notify import tell_failure, tell_recovery
from .outside import history
from .project import ENVIRONMENT, declared_job, streams
from .publish import published
from .reports import reported
from .transform import PROJECT, Dbt, manifest, modelled, sources

declared = declared_job(ENVIRONMENT)
dbt = manifest()
models = modelled(dbt)
copy = published(declared, models)
of_streams = {dg.AssetKey(s.table) for tap in declared.loaders for s in streams(tap)}

defs = dg.Definitions(
    assets=[
        *(table for tap in declared.loaders for table in source_tables(tap)),
        *(loaded_streams(tap, declared, sources(dbt)) for tap in declared.loaders),
        # What the loader and reconcile note beside the streams.
        *(
            dg.AssetSpec(key, group_name=key.path[0], **described)
            for key, described in sources(dbt).items()
            if key not in of_streams
        ),
        models,
        sales_days(declared, dbt),
        copy,
        reported(dbt, copy),
    ],
    jobs=[NIGHTLY, reread(declared)],
    schedules=[SCHEDULE],
    sensors=[history(declared, dbt, SENSORS), REFRESHING, tell_failure, tell_recovery],
    resources={
        "meltano": meltano,
        "turn": turn,
        "dbt": Dbt(project_dir=str(PROJECT), profiles_dir=os.environ["DBT_PROFILES_DIR"]),
    },
    executor=dg.in_process_executor,
    # The terminal gets what the tools say; Dagster's events are in the UI.
    loggers={"console": dg.colored_console_logger.configured({"log_level": "ERROR"})},
)

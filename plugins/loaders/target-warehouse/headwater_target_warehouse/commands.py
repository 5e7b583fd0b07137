"""The two executables."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


def target_bigquery() -> None:
    with _imports():
        from .bigquery import TargetBigQuery
    TargetBigQuery.cli()


def target_duckdb() -> None:
    with _imports():
        from .duckdb import TargetDuckDB
    TargetDuckDB.cli()


@contextmanager
def _imports() -> Iterator[None]:
    """What is imported stays. To look for garbage in it, while it comes and when all ends, would
    take as long as a small table does."""
    gc.disable()
    yield
    gc.freeze()
    gc.enable()

"""Dagster's memory on a laptop: which of its files stay open, and what a kill leaves of them."""

import json
import signal
import sys

import pytest
from dagster import DagsterEventType
from dagster_project import Dagster
from headwater_project import project_in

RUNS = 9
# Writes to the file of each run, then looks at what SQLite has in its log: what was written, until
# the file is brought up to date, which is when nobody has it open any more.
WRITES = f"""
import gc, json, os, signal
import dagster as dg
@dg.job
def nightly():
    pass
with dg.DagsterInstance.get() as instance:
    log, kept = instance.event_log_storage, []
    for _ in range({RUNS}):
        run = instance.create_run_for_job(nightly)
        instance.report_engine_event("", run)
        kept.append(os.path.exists(log.path_for_shard(run.run_id) + "-wal"))
    with log.run_connection(run.run_id) as connection:
        synchronous = connection.exec_driver_sql("pragma synchronous").scalar()
    print(json.dumps([kept, synchronous]), flush=True)
    gc.collect()
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def dagster(tmp_path):
    for project in project_in(tmp_path):
        yield Dagster(project)


def test_a_file_stays_open_and_a_kill_loses_nothing_of_it(dagster):
    done = dagster.project.run(sys.executable, "-c", WRITES)
    assert done.code == -signal.SIGKILL, done.text
    kept, synchronous = json.loads(done.out)
    assert kept == [True] * RUNS
    assert synchronous == 1  # normal: of what is written, only a file brought up to date waits
    # Of so many at most: a daemon sees many runs.
    assert len([*dagster.folder.glob("history/runs/*-wal")]) == 8
    runs = dagster.runs()
    assert len(runs) == RUNS
    for run in runs:
        assert len(dagster.events(run, DagsterEventType.ENGINE_EVENT)) == 1

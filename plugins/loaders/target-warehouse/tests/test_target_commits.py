"""What is visible when, what STATE may say, and what a crash leaves."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from singer_messages import Loader, message, record, schema, state

SCHEMA = schema("s-t", ["id"], "at", id="integer", v="string", at="integer")
LOADS = (
    "select rows_received, rows_inserted, rows_updated, rows_unchanged, rows_deleted "
    "from _headwater.loads order by loaded_at"
)


def rows(loader: Loader) -> list[tuple]:
    return loader.query("select id, v from raw_s.t where _sdc_deleted_at is null order by id")


def test_the_last_of_equal_keys_wins(loader: Loader) -> None:
    loader.run(
        SCHEMA,
        record("s-t", id=1, v="first"),
        record("s-t", id=2, v="other"),
        record("s-t", id=1, v="second"),
        record("s-t", id=1, v="third"),
    )
    assert rows(loader) == [(1, "third"), (2, "other")]
    assert loader.query(LOADS) == [(4, 2, 0, 0, 0)]
    # also where each is committed by itself, and a later batch meets an earlier one
    loader.run(SCHEMA, record("s-t", id=2, v="a"), record("s-t", id=2, v="b"), batch_size_rows=1)
    assert rows(loader) == [(1, "third"), (2, "b")]


def test_composite_keys_tell_rows_apart(loader: Loader) -> None:
    composite = schema("s-t", ["a", "b"], a="integer", b="string", v="string")
    loader.run(composite, record("s-t", a=1, b="x", v="1"), record("s-t", a=1, b="y", v="2"))
    loader.run(composite, record("s-t", a=1, b="y", v="3"))
    assert loader.query("select a, b, v from raw_s.t order by all") == [
        (1, "x", "1"),
        (1, "y", "3"),
    ]


def test_without_a_key_rows_are_appended(loader: Loader) -> None:
    keyless = schema("s-t", [], v="string")
    loader.run(keyless, record("s-t", v="a"), record("s-t", v="a"))
    assert loader.query("select v from raw_s.t") == [("a",), ("a",)]


def test_unchanged_rows_are_counted_and_left_alone(loader: Loader) -> None:
    loader.run(SCHEMA, *(record("s-t", id=i, v="a") for i in range(3)))
    before = loader.query("select id, _sdc_sequence, _sdc_batched_at from raw_s.t where id <> 2")
    loader.run(
        SCHEMA, *(record("s-t", id=i, v="a") for i in (0, 1)), record("s-t", id=2, v="b"),
        record("s-t", id=3, v="new"),
    )  # fmt: skip
    assert loader.query(LOADS)[-1] == (4, 1, 1, 2, 0)
    after = loader.query("select id, _sdc_sequence, _sdc_batched_at from raw_s.t where id < 2")
    assert sorted(after) == sorted(before)


def test_the_audit_says_who_loaded_what(loader: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MELTANO_RUN_ID", "run-7")
    loader.run(SCHEMA, record("s-t", id=1), schema("s-empty", ["id"], id="integer"))
    assert loader.query(
        "select run_id, stream, table_schema, table_name, rows_received from _headwater.loads "
        "order by stream desc"
    ) == [("run-7", "s-t", "raw_s", "t", 1), ("run-7", "s-empty", "raw_s", "empty", 0)]
    assert loader.query(
        "select stream, key_properties, replication_key, run_id from _headwater.streams order by 1"
    ) == [("s-empty", '["id"]', None, "run-7"), ("s-t", '["id"]', "at", "run-7")]
    ((size, seconds),) = loader.query(
        "select bytes, seconds from _headwater.loads where rows_received = 1"
    )
    assert size == len(json.dumps({"id": 1}))
    assert seconds > 0


def test_metadata_says_when_a_record_was_read(loader: Loader) -> None:
    loader.run(SCHEMA, record("s-t", id=1), record("s-t", id=2))
    times = loader.query(
        "select _sdc_extracted_at::varchar, _sdc_received_at <= _sdc_batched_at, "
        "_sdc_table_version from raw_s.t"
    )
    assert times == [("2026-01-02 03:04:05.6789", True, None)] * 2
    first, second = loader.query("select _sdc_sequence from raw_s.t order by id")
    assert first < second


def test_state_is_the_newest_and_verbatim(loader: Loader) -> None:
    exact = '{"bookmarks":{"s-t":{"replication_key_value":1.10}},"n":12345678901234567890.123}'
    states = loader.run(
        SCHEMA, record("s-t", id=1), state({"old": 1}), record("s-t", id=2),
        f'{{"type":"STATE","value":{exact}}}',
    )  # fmt: skip
    assert states == [exact]


def test_state_never_precedes_its_rows(loader: Loader) -> None:
    """With each STATE the loader emits, all records before it are visible to others."""
    lines = [SCHEMA]
    for i in range(1, 31):
        lines += [record("s-t", id=i, at=i), state({"at": i})]
    process = loader.start(batch_size_rows=4)
    threading.Thread(
        target=lambda: (process.stdin.write("\n".join(lines) + "\n"), process.stdin.close())
    ).start()
    seen = []
    for line in process.stdout:
        os.kill(process.pid, signal.SIGSTOP)
        # A copy of file and log is what a crash at this moment would leave.
        copy = loader.path.with_name(f"crash{len(seen)}.duckdb")
        copy.write_bytes(loader.path.read_bytes())
        log = loader.path.with_name(loader.path.name + ".wal")
        if log.exists():
            copy.with_name(copy.name + ".wal").write_bytes(log.read_bytes())
        os.kill(process.pid, signal.SIGCONT)
        with duckdb.connect(str(copy)) as connection:
            newest = connection.execute('select max("at") from raw_s.t').fetchone()[0]
        seen.append(json.loads(line)["at"])
        assert newest >= seen[-1]
    assert process.wait() == 0
    assert seen == sorted(seen)
    assert seen[-1] == 30
    assert len(seen) >= 7


def recorded_stream() -> list[str]:
    """Two streams, one of them a full refresh, with updates of earlier keys and STATE between."""
    lines = [SCHEMA]
    for i in range(1, 7):
        lines += [record("s-t", id=i, v=f"v{i}", at=i), record("s-t", id=1, v=f"again{i}", at=i)]
        lines.append(state({"at": i}))
    lines.append(schema("s-full", ["id"], id="integer"))
    lines.append(message("ACTIVATE_VERSION", "s-full", version=5))
    lines += [record("s-full", 5, id=i) for i in (1, 2)]
    lines.append(message("ACTIVATE_VERSION", "s-full", version=5))
    lines.append(state({"at": 6, "full": True}))
    return lines


@pytest.mark.parametrize("batch_size_rows", [1, 5])
def test_killed_at_every_message_boundary(loader: Loader, batch_size_rows: int) -> None:
    """kill -9 after n messages, then a re-run from the last STATE: the source's rows, exactly."""
    lines = recorded_stream()
    expected = [(1, "again6"), *((i, f"v{i}") for i in range(2, 7))]
    # One process, killed n times, in one warehouse: each round feeds one message more.
    for boundary in range(1, len(lines) + 1):
        process = loader.start(batch_size_rows=batch_size_rows)
        process.stdin.write("\n".join(lines[:boundary]) + "\n")
        process.stdin.flush()
        if boundary % 2:  # half of them in the middle of the work, half when all is read
            wait_until_idle(process.pid)
        process.kill()
        emitted = process.communicate()[0].splitlines()
        resumed = json.loads(emitted[-1])["at"] if emitted else 0
        start = 1 + 3 * resumed
        loader.run(lines[0], *lines[start:], batch_size_rows=batch_size_rows)
        assert rows(loader) == expected, f"killed after {boundary} messages"
        assert loader.query("select id from raw_s.full order by id") == [(1,), (2,)]
        assert loader.query(
            "select count(*) from raw_s.full where _sdc_deleted_at is not null"
        ) == [(0,)]
        if boundary % 6 == 0:
            loader.path.unlink()


def wait_until_idle(pid: int) -> None:
    """Until the process sleeps on reading its input."""
    while Path(f"/proc/{pid}/wchan").read_text() not in ("pipe_read", "anon_pipe_read", "0", ""):
        pass


def test_sigterm_is_no_success(loader: Loader) -> None:
    process = loader.start()
    process.stdin.write(SCHEMA + "\n" + record("s-t", id=1) + "\n" + state({"at": 1}) + "\n")
    process.stdin.flush()
    while not loader.path.exists():
        pass
    process.terminate()
    out, _ = process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    assert out == ""


class TestActivateVersion:
    FULL = schema("s-t", ["id"], id="integer", v="string")

    def refresh(self, version: int, *ids: int) -> list[str]:
        announce = message("ACTIVATE_VERSION", "s-t", version=version)
        return [self.FULL, announce, *(record("s-t", version, id=i) for i in ids), announce]

    def deleted(self, loader: Loader) -> list[int]:
        return [
            i
            for (i,) in loader.query(
                "select id from raw_s.t where _sdc_deleted_at is not null order by id"
            )
        ]

    def test_a_row_no_longer_seen_is_marked(self, loader: Loader) -> None:
        loader.run(*self.refresh(1, 1, 2, 3))
        loader.run(*self.refresh(2, 1, 3))
        assert self.deleted(loader) == [2]
        assert loader.query(LOADS)[-1] == (2, 0, 0, 2, 1)
        # and unmarked when it comes back
        loader.run(*self.refresh(3, 1, 2))
        assert self.deleted(loader) == [3]

    def test_an_empty_refresh_marks_all(self, loader: Loader) -> None:
        loader.run(*self.refresh(1, 1, 2))
        loader.run(*self.refresh(2))
        assert self.deleted(loader) == [1, 2]

    def test_an_interrupted_refresh_marks_nothing(self, loader: Loader) -> None:
        loader.run(*self.refresh(1, 1, 2, 3))
        loader.run(*self.refresh(2, 1, 2, 3)[:-2])  # the tap died: no second announcement
        assert self.deleted(loader) == []

    def test_announced_once_before_the_rows_marks_nothing(self, loader: Loader) -> None:
        """As stock Singer SDK taps do: it cannot be told from a tap that died."""
        loader.run(*self.refresh(1, 1, 2)[:-1])
        loader.run(*self.refresh(2, 1)[:-1])
        assert self.deleted(loader) == []

    def test_announced_once_after_the_rows_marks(self, loader: Loader) -> None:
        """As classic Singer taps do."""
        loader.run(*self.refresh(1, 1, 2))
        lines = self.refresh(2, 1)
        loader.run(lines[0], *lines[2:])
        assert self.deleted(loader) == [2]

    def test_hard_delete_removes(self, loader: Loader) -> None:
        loader.run(*self.refresh(1, 1, 2))
        loader.run(*self.refresh(2, 1), hard_delete=True)
        assert loader.query("select id from raw_s.t") == [(1,)]
        assert loader.query(LOADS)[-1] == (1, 0, 0, 1, 1)

    def test_without_a_key_the_old_copy_is_marked(self, loader: Loader) -> None:
        keyless = schema("s-t", [], v="string")
        for version in (1, 2):
            announce = message("ACTIVATE_VERSION", "s-t", version=version)
            row = record("s-t", version, v="a")
            loader.run(keyless, announce, row, row, announce)
        assert loader.query(
            "select _sdc_table_version, _sdc_deleted_at is null from raw_s.t order by all"
        ) == [(1, False), (1, False), (2, True), (2, True)]


def test_a_deletion_that_carries_the_key_alone_keeps_the_row(loader: Loader) -> None:
    """As a log-based tap sends it."""
    log_based = schema(
        "s-t", ["id"], id="integer", v="string", _sdc_deleted_at={"type": ["string", "null"]}
    )
    loader.run(log_based, record("s-t", id=1, v="a"), record("s-t", id=2, v="b"))
    loader.run(log_based, record("s-t", id=1, _sdc_deleted_at="2026-01-01T00:00:00Z"))
    assert loader.query("select id, v, _sdc_deleted_at::varchar from raw_s.t order by id") == [
        (1, "a", "2026-01-01 00:00:00"),
        (2, "b", None),
    ]


class TestMemory:
    def wide(self) -> list[str]:
        """Forty rows of half a megabyte in each of ten columns."""
        columns = {f"c{i}": "string" for i in range(10)}
        rows = [record("s-t", id=i, **dict.fromkeys(columns, str(i) * 500_000)) for i in range(40)]
        return [schema("s-t", ["id"], id="integer", **columns), *rows]

    def test_a_bound_given_is_kept(self, loader: Loader) -> None:
        line = loader.fail(*self.wide(), message("STATE", value={}), memory_limit="20MB")
        assert line.startswith("Error: DuckDB: Out of Memory Error")

    def test_without_one_a_table_gets_what_it_needs(
        self, loader: Loader, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("headwater_target_warehouse.duckdb.MEMORY_LIMITS", ("20MB", "1GB"))
        for _ in range(2):
            loader.run(*self.wide())
        assert loader.query("select count(*), sum(len(c9)) from raw_s.t") == [(40, 35_000_000)]
        assert [unchanged for *_, unchanged, _ in loader.query(LOADS)] == [0, 40]

    def test_many_small_tables_get_what_they_need_together(
        self, loader: Loader, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("headwater_target_warehouse.duckdb.MEMORY_LIMITS", ("20MB", "1GB"))
        columns = {f"c{i}": "string" for i in range(12)}
        names = [f"s-t{number}" for number in range(150)]
        loader.run(
            *(schema(name, ["id"], id="integer", **columns) for name in names),
            *(record(name, id=1, **dict.fromkeys(columns, "v")) for name in names),
        )
        assert loader.query("select count(*), sum(rows_inserted) from _headwater.loads") == [
            (150, 150)
        ]


class TestRefusals:
    def test_malformed_message(self, loader: Loader) -> None:
        line = loader.fail(SCHEMA, record("s-t", id=1), state({"at": 1}), '{"type": "RECORD", oops')
        assert "line 4 of the input is no Singer message" in line

    def test_truncated_message(self, loader: Loader) -> None:
        whole = record("s-t", id=2)
        line = loader.fail(SCHEMA, record("s-t", id=1), state({"at": 1}), whole[:-9], end="")
        assert "line 4 of the input is no Singer message, or is cut short" in line
        assert loader.query("select count(*) from raw_s.t") == [(0,)]

    def test_unknown_message_type(self, loader: Loader) -> None:
        assert "line 1 of the input is no Singer message" in loader.fail(message("BANANA"))

    def test_record_before_its_schema(self, loader: Loader) -> None:
        line = loader.fail(record("s-t", id=1), state({}))
        assert line == "Error: s-t: a record came before its SCHEMA message"

    def test_record_without_its_key(self, loader: Loader) -> None:
        line = loader.fail(SCHEMA, record("s-t", v="a"), state({}))
        assert line == "Error: s-t: a record has no value for id, which its schema requires"

    def test_key_that_is_no_field(self, loader: Loader) -> None:
        line = loader.fail(schema("s-t", ["nope"], id="integer"))
        assert "s-t: the key nope is not among the fields of its schema" in line

    def test_schema_without_properties(self, loader: Loader) -> None:
        line = loader.fail(message("SCHEMA", "s-t", schema={"type": "object"}, key_properties=[]))
        assert line == "Error: the SCHEMA message of s-t has no properties"

    def test_a_folder_that_cannot_be_made(self, loader: Loader) -> None:
        loader.path.write_text("a file, not a folder")
        line = loader.fail(SCHEMA, path=loader.path / "sub" / "w.duckdb")
        assert "the warehouse's folder" in line
        assert "cannot be made" in line

    def test_a_file_that_is_no_warehouse(self, loader: Loader) -> None:
        loader.path.write_text("this is no database" * 1000)
        assert "cannot be opened" in loader.fail(SCHEMA)

    def test_a_warehouse_held_by_another_is_waited_for_then_named(self, loader: Loader) -> None:
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(loader.path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert holder.stdout.readline() == "held\n"
        line = loader.fail(SCHEMA, lock_timeout_seconds=1)
        assert f"(PID {holder.pid})" in line
        # when it lets go, the load goes on
        process = loader.start()
        process.stdin.write(SCHEMA + "\n")
        process.stdin.flush()
        assert any("Waiting for the warehouse" in line for line in process.stderr)
        holder.communicate("")
        process.communicate(record("s-t", id=1, v="a") + "\n")
        assert process.returncode == 0
        assert rows(loader) == [(1, "a")]

    def test_disk_full(self, loader: Loader, small_disk: Path) -> None:
        loader.path = small_disk / "w.duckdb"
        loader.run(SCHEMA, record("s-t", id=1, v="kept"))
        noise = (record("s-t", id=i, v=os.urandom(2000).hex()) for i in range(2, 4000))
        process = loader.start()
        out, err = process.communicate("\n".join([SCHEMA, *noise, state({"at": 9})]) + "\n")
        assert process.returncode == 1
        assert out == ""
        assert "Traceback" not in err
        assert "No space left on device" in err.splitlines()[-1]
        assert rows(loader) == [(1, "kept")]

    def test_disk_full_after_some_batch_files(
        self, loader: Loader, small_disk: Path, tmp_path: Path
    ) -> None:
        loader.path = small_disk / "w.duckdb"
        files, lines = [], [SCHEMA]
        for number in range(8):
            ids = range(number * 500, (number + 1) * 500)
            noise = [os.urandom(2000).hex() for _ in ids]
            files.append(tmp_path / f"{number}.parquet")
            pq.write_table(pa.table({"id": ids, "v": noise, "at": ids}), files[-1])
            batch = {"encoding": {"format": "parquet"}, "manifest": [files[-1].as_uri()]}
            lines += [message("BATCH", "s-t", **batch), state({"files": number + 1})]
        process = loader.start(batch_size_rows=500, batch_folder=tmp_path)
        out, err = process.communicate("\n".join(lines) + "\n")
        assert process.returncode == 1
        assert "Traceback" not in err
        assert "No space left on device" in err.splitlines()[-1]
        said = json.loads(out.splitlines()[-1])["files"]
        committed = [file for file in files if not file.exists()]
        assert committed == files[: len(committed)]
        assert 0 < said <= len(committed) < len(files)
        assert [id_ for id_, _ in rows(loader)] == list(range(len(committed) * 500))

        subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
        loader.run(SCHEMA, *lines[1 + 2 * len(committed) :], batch_folder=tmp_path)
        assert [id_ for id_, _ in rows(loader)] == list(range(4000))
        assert [*tmp_path.glob("*.parquet")] == []


HOLD = """
import duckdb, sys
connection = duckdb.connect(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def small_disk(tmp_path: Path):
    """8 MiB; mounting takes root, as CI has."""
    if os.geteuid() != 0:
        pytest.skip("mounting a tmpfs takes root")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", disk], check=True)
    yield disk
    subprocess.run(["umount", disk], check=True)

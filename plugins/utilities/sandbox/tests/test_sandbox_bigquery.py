"""The BigQuery emulator's life: what stops it from starting is one line. tests/test_emulator.py
starts it."""

import os
import socket

import pytest
from headwater_sandbox import bigquery
from headwater_sandbox.bigquery import Emulator, find_python
from headwater_sandbox.postgres import ServerError


def uv(directory, answers: dict[str, int]) -> str:
    """A uv that answers `uv python WHAT` with an exit code."""
    program = directory / "uv"
    cases = "".join(f'"{what}") exit {code};;' for what, code in answers.items())
    program.write_text(f'#!/bin/sh\ncase "$2" in {cases} esac\n')
    program.chmod(0o755)
    return str(program)


def test_no_python_to_be_had_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    with pytest.raises(ServerError) as error:
        find_python(uv(tmp_path, {"find": 2, "install": 1}))
    assert "needs Python 3.13, which is not here and cannot be fetched" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_python_that_uv_can_fetch_will_do(tmp_path, monkeypatch):
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    assert find_python(uv(tmp_path, {"find": 2, "install": 0})) == "3.13"


def test_no_uv_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("MELTANO_PROJECT_ROOT", str(tmp_path))
    with pytest.raises(ServerError, match=r"needs uv: https://docs\.astral\.sh/uv"):
        find_python()


def test_a_port_in_use_is_one_line(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        emulator = Emulator(tmp_path, f"http://127.0.0.1:{port}")
        with pytest.raises(ServerError, match=f"^port {port} is in use by another process: set "):
            emulator.start()
    assert not emulator.is_running


def test_what_does_not_start_says_why_and_is_gone(tmp_path, monkeypatch):
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho 'disk on fire' >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setattr(Emulator, "_environment", lambda self: program)
    emulator = Emulator(tmp_path / "emulator", None)
    with pytest.raises(ServerError, match=r"did not start: disk on fire \(log: .*bigquery\.log\)$"):
        emulator.start()
    assert not emulator.is_running


def test_a_recorded_process_that_is_another_by_now_is_left_alone(tmp_path):
    emulator = Emulator(tmp_path, None)
    record = f'{{"pid": {os.getpid()}, "created": 1.0, "endpoint": "http://127.0.0.1:1"}}'
    (tmp_path / "process.json").write_text(record)
    assert not emulator.is_running
    emulator.stop()  # would end this very process


def test_the_requirements_are_locked_with_hashes():
    lines = bigquery.REQUIREMENTS.read_text()
    wanted = bigquery.REQUIREMENTS.with_suffix(".in").read_text().split()
    assert all(f"{requirement} \\\n    --hash=sha256:" in lines for requirement in wanted)

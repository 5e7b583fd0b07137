"""The BigQuery emulator behind a small adapter; run by the emulator's own Python.

    python bigquery_app.py DIRECTORY PORT

What BigQuery does and the emulator does not, without which its clients fail: a body sent to
/upload/ may be compressed, and the job of a `create table … as select` names the table it made.
"""

import gzip
import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path

directory, port = Path(sys.argv[1]), int(sys.argv[2])
# DuckDB keeps its extensions in the home directory.
os.environ["HOME"] = str(directory)
os.environ["DATA_DIR"] = str(directory / "data")
EXTENSIONS = ("ducklake", "icu", "spatial")


class Adapter:
    """ASGI middleware around the emulator."""

    def __init__(self, app) -> None:
        self.app = app

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        if scope["path"].startswith("/upload/"):
            receive = await _unpacked(receive)
        elif "/jobs" in scope["path"]:
            send = _with_destination(send)
        await self.app(scope, receive, send)


async def _unpacked(receive):
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    if body[:2] == b"\x1f\x8b":
        body = gzip.decompress(body)
    messages = iter([{"type": "http.request", "body": body}])

    async def replay():
        return next(messages, None) or await receive()

    return replay


def _with_destination(send):
    start, body = {}, b""

    async def rewritten(message) -> None:
        nonlocal start, body
        if message["type"] == "http.response.start":
            start = message
            return
        body += message.get("body", b"")
        if message.get("more_body"):
            return
        changed = _name_destination(body)
        headers = [(k, v) for k, v in start["headers"] if k.lower() != b"content-length"]
        headers.append((b"content-length", str(len(changed)).encode()))
        await send({**start, "headers": headers})
        await send({"type": "http.response.body", "body": changed})

    return rewritten


def _name_destination(body: bytes) -> bytes:
    try:
        job = json.loads(body)
        done = job["statistics"]["query"]
        if done["statementType"] == "CREATE_TABLE_AS_SELECT":
            job["configuration"]["query"]["destinationTable"] = done["ddlTargetTable"]
            return json.dumps(job).encode()
    except (ValueError, KeyError, TypeError):
        pass
    return body


def install_extensions() -> None:
    """From the wheels: DuckDB itself would download them."""
    import duckdb

    with duckdb.connect() as connection:
        for name in EXTENSIONS:
            package = Path(find_spec(f"duckdb_extension_{name}").origin).parent
            (file,) = package.rglob(f"{name}.duckdb_extension")
            connection.execute(f"install '{file}'")


if __name__ == "__main__":
    install_extensions()
    import local_bigquery
    import uvicorn

    uvicorn.run(Adapter(local_bigquery.app), host="127.0.0.1", port=port, log_level="warning")

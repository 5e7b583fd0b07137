"""Run a command beside a local server that answers as an empty BigQuery.

    python offline.py sqlfluff lint transform
    python offline.py dbt compile --target offline

dbt lists the existing tables before it compiles anything, and sqlfluff has no way to stop it. The
server says that there are none; the `offline` target finds it in BIGQUERY_API_ENDPOINT.
"""

import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class EmptyBigQuery(BaseHTTPRequestHandler):
    """Answers every listing with nothing."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        pass


def main(command: list[str]) -> int:
    """Return the command's exit code."""
    with ThreadingHTTPServer(("127.0.0.1", 0), EmptyBigQuery) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{server.server_port}"
        code = subprocess.run(command, env=os.environ | {"BIGQUERY_API_ENDPOINT": endpoint})
        server.shutdown()
    return code.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""A BigQuery that does as it is told: it keeps no rows, but every request, and fails on command."""

import json
import re
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KINDS = {
    r"merge into .*`streams`": "register",
    r"merge into": "merge",
    r"select coalesce\(sum": "check",
    r"insert into .*`loads`": "audit",
    r"create table .*staging_": "stage",
}
PATH = re.compile(r"^(?:/upload)?/bigquery/v2/projects/p/(?P<what>\w+)(?:/(?P<rest>[^?]*))?")


@dataclass
class Scripted:
    """`faults` by kind of job ("load", "merge", …, "poll", "sweep"): what to do instead, in turn.

    A number is an HTTP status; "drop" takes the job and closes the connection; "hang" never ends;
    any other word is the reason for which the job fails.
    """

    rows: int = 1
    keys: int | None = None  # of them; as many as rows, unless it says
    uploads: list[bytes] = field(default_factory=list)
    faults: dict[str, list[int | str]] = field(default_factory=lambda: defaultdict(list))
    done: list[str] = field(default_factory=list)  # kinds of the jobs that did their work
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    cancelled: list[str] = field(default_factory=list)
    staged: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def fault(self, kind: str) -> int | str | None:
        with self.lock:
            return self.faults[kind].pop(0) if self.faults[kind] else None

    def start(self, job_id: str, kind: str, configuration: dict, fault: Any) -> dict[str, Any]:
        job = {
            "jobReference": {"projectId": "p", "jobId": job_id, "location": "US"},
            "configuration": configuration,
            "status": {"state": "DONE"},
            "statistics": {"query": {"dmlStats": {"insertedRowCount": str(self.rows)}}},
            "kind": kind,
        }
        if fault == "hang":
            job["status"] = {"state": "RUNNING"}
        elif isinstance(fault, str) and fault != "drop":
            error = {"reason": fault, "message": f"told to fail: {fault}"}
            job["status"] = {"state": "DONE", "errorResult": error, "errors": [error]}
        else:
            self.done.append(kind)
            if kind == "stage":
                self.staged.add(re.search(r"staging_\w+", configuration["query"]["query"])[0])
        self.jobs[job_id] = job
        return job


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    script: Scripted

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        what = PATH.match(self.path)
        if (what["rest"] or "").endswith("/cancel"):
            job = self.script.jobs[what["rest"].split("/")[0]]
            self.script.cancelled.append(job["kind"])
            return self.answer({"job": job})
        if self.path.startswith("/upload"):
            resource, kind = json.loads(re.search(rb"\{.*?\}\r\n", body, re.DOTALL)[0]), "load"
            self.script.uploads.append(body)
        else:
            resource = json.loads(body)
            query = resource["configuration"]["query"]["query"]
            kind = next((k for p, k in KINDS.items() if re.match(p, query)), "other")
        job_id = resource["jobReference"]["jobId"]
        if job_id in self.script.jobs:
            return self.refuse(409)
        fault = self.script.fault(kind)
        if isinstance(fault, int):
            return self.refuse(fault)
        job = self.script.start(job_id, kind, resource["configuration"], fault)
        if fault == "drop":
            self.close_connection = True
            return None
        return self.answer(job)

    def do_GET(self) -> None:
        what = PATH.match(self.path)
        if what["what"] == "jobs":
            fault = self.script.fault("poll")
            return self.refuse(fault) if fault else self.answer(self.script.jobs[what["rest"]])
        if what["what"] == "queries":
            job = self.script.jobs[what["rest"]]
            keys = self.script.rows if self.script.keys is None else self.script.keys
            values = [str(self.script.rows), str(keys), "0"]
            fields = [{"name": f"f{n}_", "type": "INTEGER"} for n in range(3)]
            return self.answer(
                {
                    "jobReference": job["jobReference"],
                    "jobComplete": True,
                    "schema": {"fields": fields},
                    "rows": [{"f": [{"v": value} for value in values]}],
                    "totalRows": "1",
                }
            )
        if "/tables/" in self.path:
            return self.refuse(404)
        dataset = {"projectId": "p", "datasetId": what["rest"].split("/")[0]}
        return self.answer({"datasetReference": dataset})

    def do_DELETE(self) -> None:
        self.script.staged.discard(self.path.partition("?")[0].rpartition("/")[2])
        self.answer({})

    def answer(self, body: dict[str, Any], status: int = 200) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def refuse(self, status: int) -> None:
        reason = {404: "notFound", 409: "duplicate", 429: "rateLimitExceeded"}.get(
            status, "backendError"
        )
        error = {"reason": reason, "message": f"told to answer {status}"}
        self.answer({"error": {"code": status, "errors": [error], **error}}, status)

    def log_message(self, *_: object) -> None:
        pass


class Endpoint:
    """A context manager that serves `script` at `url`."""

    def __init__(self) -> None:
        self.script = Scripted()
        handler = type("Scripted", (Handler,), {"script": self.script})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "Endpoint":
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

"""The Shopify stand-in's life: a background process with a proxy, a certificate and the API.

    python -m headwater_sandbox.shopify.server DIRECTORY PORT PLAN

A client that is given the proxy and the certificate authority (`environment`) reaches the
stand-in under Shopify's own names, and nothing else.
"""

import asyncio
import contextlib
import gc
import json
import os
import shutil
import socket
import sqlite3
import ssl
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import trustme
import uvicorn

from headwater_sandbox.postgres import ServerError, locked
from headwater_sandbox.process import Background
from headwater_sandbox.shopify.app import Shop, application
from headwater_sandbox.shopify.store import connect

DEFAULT_PORT = 54380
DEFAULT_PLAN = "plus"
HOSTS = ("*.myshopify.com", "storage.googleapis.com")


class StandIn:
    """The stand-in whose documents, certificates and log are under `directory`.

    `port`: the proxy's, another if it is taken; None takes a free one.
    """

    def __init__(self, directory: Path, port: int | None = DEFAULT_PORT) -> None:
        self.directory = Path(directory).absolute()
        self.store = self.directory / "shop.sqlite"
        self.authority = self.directory / "ca.pem"
        self._port = port
        self._ports = self.directory / "ports.json"
        self._process = Background(self.directory, "the Shopify stand-in", "shopify.log")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def is_running(self) -> bool:
        return self._process.facts is not None

    @property
    def facts(self) -> dict[str, str] | None:
        """Its proxy's URL, its plan and its log; None if it does not run."""
        if not (facts := self._process.facts):
            return None
        return {"proxy": self.proxy, "plan": facts["plan"], "log": str(self._process.log)}

    @property
    def proxy(self) -> str:
        """The URL of the proxy."""
        return f"http://127.0.0.1:{self._port_of('proxy')}"

    @property
    def environment(self) -> dict[str, str]:
        """What makes a client's requests to Shopify come here."""
        return {
            "HTTPS_PROXY": self.proxy,
            "SSL_CERT_FILE": str(self.authority),
            "REQUESTS_CA_BUNDLE": str(self.authority),
        }

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """The documents, to be changed by one at a time; it need not run."""
        with locked(self.directory), contextlib.closing(connect(self.store)) as connection:
            yield connection

    def start(self, plan: str | None = None) -> None:
        """Start it; a no-op if it runs, unless with another plan than asked for.

        Raises:
            ServerError: it does not start.
        """
        with locked(self.directory):
            if facts := self._process.facts:
                if plan in (None, facts["plan"]):
                    return
                self._process.stop()
            self._ports.unlink(missing_ok=True)
            plan = plan or DEFAULT_PLAN
            module = "headwater_sandbox.shopify.server"
            self._process.start(
                [sys.executable, "-m", module, self.directory, str(self._port or 0), plan],
                {"plan": plan},
                self._ports.exists,
            )

    def stop(self) -> None:
        """Stop it, and with it every fault; a no-op if it does not run."""
        if not self.directory.exists():
            return
        with locked(self.directory):
            self._process.stop()
            self._ports.unlink(missing_ok=True)

    def faults(self, method: str = "GET", fault: dict[str, Any] | None = None) -> list[dict]:
        """The faults in wait, after POST of another or DELETE of all.

        Raises:
            ServerError: it does not run, or does not answer.
        """
        url = f"https://127.0.0.1:{self._port_of('api')}/sandbox/faults"
        request = urllib.request.Request(url, fault and json.dumps(fault).encode(), method=method)
        context = ssl.create_default_context(cafile=str(self.authority))
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        try:
            with opener.open(request, timeout=30) as response:
                return json.load(response)
        except OSError as error:
            raise ServerError(f"the Shopify stand-in does not answer: {error}") from error

    def _port_of(self, what: str) -> int:
        try:
            return json.loads(self._ports.read_text())[what]
        except (OSError, ValueError) as error:
            raise ServerError("the Shopify stand-in is not up: `sandbox shopify up`") from error


async def _tunnel(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, api_port: int
) -> None:
    """Answer one CONNECT: Shopify's names lead to the API, others nowhere."""
    with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        method, _, rest = head.partition(" ")
        host, _, port = rest.partition(" ")[0].rpartition(":")
        if method != "CONNECT" or port != "443" or not _is_shopify(host):
            writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        else:
            api_reader, api_writer = await asyncio.open_connection("127.0.0.1", api_port)
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await asyncio.gather(_copy(reader, api_writer), _copy(api_reader, writer))
    with contextlib.suppress(OSError):
        writer.close()
        await writer.wait_closed()


def _is_shopify(host: str) -> bool:
    return any(host.endswith(name[1:]) if name.startswith("*") else host == name for name in HOSTS)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while block := await reader.read(1 << 18):
            writer.write(block)
            await writer.drain()
    # TLS closes both ways at once; half-open connections would linger.
    writer.close()


def _listen(port: int) -> socket.socket:
    """A socket at a port of loopback, or at a free one if it is taken."""
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError:
        return socket.create_server(("127.0.0.1", 0))


async def serve(directory: Path, port: int, plan: str) -> None:
    """Serve until a signal; ports.json is there once requests are taken."""
    gc.set_threshold(100_000, 20, 100)  # answers are many objects and no cycles
    os.umask(0o077)  # the certificate's key is for this user
    shutil.rmtree(directory / "bulk", ignore_errors=True)
    authority, key = trustme.CA(), directory / "server.pem"
    certificate = authority.issue_cert(*HOSTS, "127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(str(key))
    authority.cert_pem.write_to_path(str(directory / "ca.pem"))

    api_socket, proxy_socket = _listen(0), _listen(port)
    api_port, proxy_port = (one.getsockname()[1] for one in (api_socket, proxy_socket))
    config = uvicorn.Config(
        application(Shop(directory, plan)),
        log_level="warning",
        ssl_certfile=key,
        timeout_graceful_shutdown=1,
    )
    async with await asyncio.start_server(
        lambda reader, writer: _tunnel(reader, writer, api_port), sock=proxy_socket
    ):
        ports = directory / "ports.tmp"
        ports.write_text(json.dumps({"proxy": proxy_port, "api": api_port}))
        ports.rename(directory / "ports.json")
        await uvicorn.Server(config).serve(sockets=[api_socket])


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))

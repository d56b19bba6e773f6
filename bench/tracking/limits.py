"""What this machine allows at best: one durable write, and one answer of an empty ASGI application.

`limits.py serve PORT` is that application, as a process of its own.
"""

from __future__ import annotations

import os
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn
from tracking_bench import Connection, Server, cpu_seconds, latencies, timed

from headway.api.mlflow.segment import OneSegmentProtocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_BODY = b'{"run_id":"0123456789abcdef0123456789abcdef","key":"loss","value":0.5,"timestamp":1700000000000,"step":1}'


def sync_limits(folder: Path, *, times: int = 300) -> dict[str, float]:
    """Time fdatasync after 4 KB over what is there (SQLite's log, reused) and at the end (a file that grows)."""
    found: dict[str, float] = {}
    for name, is_growing in (("overwrite", False), ("append", True)):
        with tempfile.TemporaryFile(dir=folder) as file:
            descriptor, block = file.fileno(), os.urandom(4096)
            os.pwrite(descriptor, block * 256, 0)
            os.fsync(descriptor)
            took = []
            for index in range(times):
                start = time.perf_counter()
                os.pwrite(descriptor, block, (256 + index if is_growing else index % 256) * 4096)
                os.fdatasync(descriptor)
                took.append(time.perf_counter() - start)
            found[f"fdatasync_{name}_p50_us"] = round(latencies(took)["p50_ms"] * 1000, 1)
    return found


def asgi_limits(log: Path, *, seconds: float) -> dict[str, float]:
    """Time a log-metric body in and `{}` out on one connection, with nothing behind it."""
    uri = f"http://127.0.0.1:{free_port()}"
    server = Server(f"{sys.executable} {__file__} serve {uri.rpartition(':')[2]}", uri, str(log))
    try:
        with Connection(uri) as connection:
            before = cpu_seconds(server.process.pid)
            took = timed(lambda: connection.request("POST", "/any", _BODY), 500, 60, seconds)
            used = cpu_seconds(server.process.pid) - before
    finally:
        server.stop()
    return {
        "raw_asgi_p50_us": round(latencies(took)["p50_ms"] * 1000, 1),
        "raw_asgi_calls_per_s": round(len(took) / sum(took), 1),
        "raw_asgi_cpu_us": round(used / len(took) * 1e6, 1),
    }


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


async def _empty(_scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
    await receive()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"{}"})


def _serve(port: int) -> None:
    uvicorn.run(
        _empty, port=port, loop="uvloop", http=OneSegmentProtocol, lifespan="off", log_config=None, access_log=False
    )


if __name__ == "__main__" and sys.argv[1:2] == ["serve"]:
    _serve(int(sys.argv[2]))

"""How an answer leaves: by the server's own uvicorn settings, on a real socket."""

import asyncio
import contextlib
import http.client
import socket
import threading
import time
from typing import Any

import uvicorn

from headway.server import _uvicorn_config

SMALL, LARGE = b"x" * 300, b"y" * 200_000


class Counting:
    """A transport that counts what is written to the socket."""

    def __init__(self, inner: Any, writes: list[int]) -> None:
        self.inner, self.writes = inner, writes

    def write(self, data: bytes) -> None:
        self.writes.append(len(data))
        self.inner.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


async def app(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    if scope["path"] == "/later":
        await asyncio.sleep(0)
    body = LARGE if scope["path"] == "/large" else SMALL
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@contextlib.contextmanager
def served() -> Any:
    """Yield the port of a server, the sockets that it accepted, and what it wrote."""
    sockets: list[Any] = []
    writes: list[int] = []
    config = _uvicorn_config(app)  # type: ignore[arg-type]
    real: Any = config.http

    class Watched(real):
        def connection_made(self, transport: Any) -> None:
            sockets.append(transport.get_extra_info("socket"))
            super().connection_made(Counting(transport, writes))

    config.http = Watched
    server = uvicorn.Server(config)
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(16)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    until = time.monotonic() + 60
    while not server.started and time.monotonic() < until:
        time.sleep(0.01)
    try:
        yield listening.getsockname()[1], sockets, writes
    finally:
        server.should_exit = True
        thread.join(30)
        listening.close()


def test_a_small_answer_is_one_write_on_a_socket_that_does_not_wait() -> None:
    with served() as (port, sockets, writes):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        for path in ("/now", "/later", "/now"):
            writes.clear()
            connection.request("POST", path, body=b"{}")
            assert connection.getresponse().read() == SMALL
            assert len(writes) == 1
            assert writes[0] > len(SMALL)
        assert [sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for sock in sockets] == [1]
        connection.close()


def test_a_large_answer_is_not_copied_to_be_joined() -> None:
    with served() as (port, _, writes):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", "/large")
        assert connection.getresponse().read() == LARGE
        assert writes[-1] == len(LARGE)
        connection.close()


def test_an_answer_without_a_body_leaves_too() -> None:
    with served() as (port, _, writes):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("HEAD", "/now")
        assert connection.getresponse().read() == b""
        assert len(writes) == 1
        connection.close()

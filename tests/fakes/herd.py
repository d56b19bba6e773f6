"""Many clients at once on keep-alive connections in one thread: each logs a point, waits for its answer, logs the next.

A client whose connection breaks, or whose point is refused, sends the same point again, as MLflow's client does. What
was answered with 200 is remembered, to be looked for afterwards.
"""

from __future__ import annotations

import collections
import contextlib
import json
import selectors
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field

API = "/api/2.0/mlflow/"
_PAUSE = 0.02  # before a refused or broken client tries again
_SILENT = 60.0  # nobody waits longer for an answer


@dataclass(slots=True)
class Client:
    """One client: the run and key of its points, and the steps that were acknowledged."""

    run: str
    key: str
    acked: list[int] = field(default_factory=list)
    sock: socket.socket | None = None
    buffer: bytes = b""
    since: float = 0.0  # when the point on its way was sent; 0 = none is
    due: float = 0.0


class Herd:
    """The clients; `run` drives them until it is told to stop."""

    def __init__(self, port: int, clients: list[Client], *, login: str = "") -> None:
        self._port = port
        self._login = f"Authorization: Bearer {login}\r\n" if login else ""
        self._selector = selectors.DefaultSelector()
        self.clients = clients
        self.took: list[float] = []
        self.refused: collections.Counter[str] = collections.Counter()
        self.broken = 0

    @property
    def acknowledged(self) -> int:
        """How many points were answered with 200."""
        return sum(len(client.acked) for client in self.clients)

    def run(self, is_over: Callable[[], bool]) -> None:
        """Log until `is_over`, then wait for the answers that are still out."""
        is_ending = False
        last = time.monotonic()
        while True:
            now = time.monotonic()
            is_ending = is_ending or is_over()
            if not is_ending:
                for client in self.clients:
                    if not client.since and client.due <= now:
                        self._send(client, now)
            elif not any(client.since for client in self.clients):
                break
            for key, _ in self._selector.select(0.01):
                self._receive(key.data)
                last = time.monotonic()
            if time.monotonic() - last > _SILENT:
                raise AssertionError(f"nobody answered for {_SILENT:.0f} s")
        for client in self.clients:
            self._drop(client)
        self._selector.close()

    def _send(self, client: Client, now: float) -> None:
        step = len(client.acked)
        body = json.dumps(
            {"run_id": client.run, "key": client.key, "value": step / 3, "timestamp": step, "step": step}
        ).encode()
        head = (
            f"POST {API}runs/log-metric HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\n{self._login}"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode()
        try:
            if client.sock is None:
                client.sock = socket.create_connection(("127.0.0.1", self._port), 5)
                client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._selector.register(client.sock, selectors.EVENT_READ, client)
            client.sock.sendall(head + body)
        except OSError:
            self._break(client)
            return
        client.since = now

    def _receive(self, client: Client) -> None:
        try:
            data = client.sock.recv(65536) if client.sock is not None else b""
        except OSError:
            data = b""
        if not data:
            self._break(client)
            return
        client.buffer += data
        end = client.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = client.buffer[:end].decode("latin-1").lower()
        length = int(head.partition("content-length:")[2].partition("\r\n")[0] or 0)
        if len(client.buffer) < end + 4 + length:
            return
        body, client.buffer = client.buffer[end + 4 : end + 4 + length], client.buffer[end + 4 + length :]
        status = head.split(" ", 2)[1]
        now = time.monotonic()
        if status == "200":
            client.acked.append(len(client.acked))
            self.took.append(now - client.since)
        else:
            self.refused[f"{status} {body.decode(errors='replace')[:200]}"] += 1
            client.due = now + _PAUSE
        client.since = 0.0
        if "connection: close" in head:
            self._drop(client)

    def _break(self, client: Client) -> None:
        if client.since:
            self.broken += 1
        self._drop(client)
        client.due = time.monotonic() + _PAUSE

    def _drop(self, client: Client) -> None:
        if client.sock is not None:
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(client.sock)
            client.sock.close()
        client.sock, client.buffer, client.since = None, b"", 0.0


def lost_or_doubled(clients: list[Client], history: Callable[[str, str], list[int]]) -> tuple[int, int, int]:
    """Look for every acknowledged point: return how many are lost, how many are there twice, and how many were read.

    A point whose answer got lost may be there too: at most one for each client, the one after its last.
    """
    lost = doubled = read = 0
    for client in clients:
        kept = history(client.run, client.key)
        read += len(kept)
        lost += len(set(client.acked) - set(kept))
        doubled += len(kept) - len(set(kept))
        assert set(kept) <= {*client.acked, len(client.acked)}, "a point that nobody sent"
    return lost, doubled, read

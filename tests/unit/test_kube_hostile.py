"""An API server that lies, or something in its place: every call ends, in bounded time and memory, with an error."""

from __future__ import annotations

import json
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx2
import pytest

from headway import kube as kubes
from headway.errors import HeadwayError
from headway.kube import Kube
from headway.kube_cache import Watched
from headway.kube_errors import ClusterAway, WatchGap

JOB = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j", "namespace": "n"}}
Send = Callable[[socket.socket], None]


class Liar:
    """Answers every request with the same, and counts them."""

    def __init__(self, send: Send) -> None:
        self.send, self.asked = send, 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(client,), daemon=True).start()

    def _answer(self, client: socket.socket) -> None:
        with client:
            try:
                client.recv(1 << 16)
                self.asked += 1
                self.send(client)
            except OSError:
                return  # it hung up

    def close(self) -> None:
        self._socket.close()


@contextmanager
def lying(send: Send | bytes, *, status: int = 200, more: str = "") -> Iterator[tuple[Liar, Kube]]:
    def plain(client: socket.socket) -> None:
        assert isinstance(send, bytes)
        head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(send)}\r\n{more}\r\n"
        client.sendall(head.encode() + send)

    liar = Liar(plain if isinstance(send, bytes) else send)
    # Without the certificates of the world, which take longer to load than the test.
    client = httpx2.Client(base_url=liar.url, timeout=httpx2.Timeout(20, connect=10), verify=False)
    kube = Kube(client, rate=1000.0)
    try:
        yield liar, kube
    finally:
        kube.close()
        liar.close()


CALLS: dict[str, Callable[[Kube], object]] = {
    "get": lambda kube: kube.get("Job", "j", namespace="n"),
    "create": lambda kube: kube.create(JOB),
    "apply": lambda kube: kube.apply(JOB),
    "patch": lambda kube: kube.patch("Job", "j", {}, namespace="n"),
    "list": lambda kube: kube.list("Job", namespace="n"),
    "watch": lambda kube: list(kube.watch("Job", namespace="n", version="1", seconds=1)),
    "may": lambda kube: kube.may("get", "Job", namespace="n"),
    "version": lambda kube: kube.version(),
}
GARBAGE = [
    b"<html>login</html>", b'{"kind": "Job", "meta', b"[]", b"null", b"7", b'"x"', b"[" * 200_000, b"\xff\xfe\x00",
    b'{"metadata": 7, "items": 7, "type": 7, "object": 7, "status": 7}',
    b'{"metadata": {"name": 7}, "items": [7], "type": "ADDED", "object": {"metadata": []}}',
]  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_garbage_is_an_absent_cluster_and_nothing_worse(name: str) -> None:
    for garbage in GARBAGE:
        with lying(garbage) as (_, kube):
            error = raised(CALLS[name], kube)
            assert error is None or isinstance(error, ClusterAway | WatchGap), garbage[:40]
            assert error is None or len(error.message + error.cause) < 2000


def raised(call: Callable[[Kube], object], kube: Kube) -> HeadwayError | None:
    try:
        call(kube)
    except HeadwayError as error:
        return error
    return None


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_takes_the_login_nowhere(status: int) -> None:
    with lying(b"{}") as (trap, _):
        for name, call in CALLS.items():
            with lying(b"{}", status=status, more=f"Location: {trap.url}/steal\r\n") as (_, kube):
                with pytest.raises(ClusterAway, match=str(status)):
                    call(kube)
                assert trap.asked == 0, name


def endless(client: socket.socket) -> None:
    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
    for _ in range(400):  # it ends, should nobody else see to it
        client.sendall(b" " * (1 << 20))


@pytest.mark.parametrize("name", ["get", "list", "watch"])
def test_an_answer_without_end_is_given_up(name: str) -> None:
    tracemalloc.start()
    try:
        with lying(endless) as (_, kube), pytest.raises(ClusterAway, match="answers what no Kubernetes answers"):
            CALLS[name](kube)
        assert tracemalloc.get_traced_memory()[1] < 200 << 20
    finally:
        tracemalloc.stop()


def test_a_list_whose_pages_never_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubes, "_MOST_PAGES", 7)
    page = json.dumps({"items": [JOB], "metadata": {"continue": "more"}}).encode()
    with lying(page) as (liar, kube), pytest.raises(ClusterAway, match="answers what no Kubernetes answers"):
        kube.list("Job", namespace="n")
    assert liar.asked == 7


def test_an_answer_that_comes_byte_by_byte_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubes, "_WHOLE_SECONDS", 0.5)

    def slow(client: socket.socket) -> None:
        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        for _ in range(3000):
            client.sendall(b" ")
            time.sleep(0.01)

    with lying(slow) as (_, kube), pytest.raises(ClusterAway, match="answers what no Kubernetes answers"):
        kube.get("Job", "j", namespace="n")


def test_a_watch_that_never_ends_ends_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubes, "READ_SECONDS", 0.5)
    line = json.dumps({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "5"}}}).encode() + b"\n"

    def on_and_on(client: socket.socket) -> None:
        client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(3000):
            client.sendall(line)
            time.sleep(0.01)

    with lying(on_and_on) as (_, kube):
        assert len(list(kube.watch("Job", namespace="n", version="1", seconds=0))) > 3


@pytest.mark.parametrize("status", [200, 410, 500])
def test_whatever_a_watch_meets_at_once_is_no_storm(status: int) -> None:
    """It lists and watches in turn, and each of them ends the moment it begins."""
    with lying(b'{"items": [], "metadata": {"resourceVersion": "1"}}', status=status) as (liar, kube):
        watched = Watched(kube, "Job", namespace="n", labels="", seconds=1)
        watched.start()
        time.sleep(3)
        watched.stop()
        assert liar.asked < 20


def test_a_log_is_as_long_as_was_asked_for() -> None:
    with lying(b"x" * 100_000) as (_, kube):
        assert len(kube.log("p", namespace="n", container="step", limit=1000)) == 1000

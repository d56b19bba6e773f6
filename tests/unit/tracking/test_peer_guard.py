from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest

from headway.errors import HeadwayError, Refused, TooLarge, Unreachable, UsageError
from headway.tracking.peer.connection import Patience, PeerConnection
from headway.tracking.peer.guard import AllowedHosts, GuardedTransport
from headway.tracking.peer.reader import PeerReader

EVERYBODY = AllowedHosts.read("")


@pytest.mark.parametrize(
    "address",
    [
        "https://127.0.0.1/",
        "https://localhost/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://127.1/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:7f00:1]/",
        "https://[64:ff9b::7f00:1]/",
        "https://169.254.169.254/latest/meta-data/",
        "https://[fe80::1]/",
        "https://10.0.0.7/",
        "https://192.168.1.1/",
        "https://172.16.0.1/",
        "https://100.64.0.1/",
        "https://0.0.0.0/",
        "https://224.0.0.1/",
    ],
)
def test_nothing_of_the_own_network_is_asked(address: str) -> None:
    with pytest.raises((Refused, Unreachable)):
        EVERYBODY.address(httpx.URL(address))


def test_plain_http_needs_a_word_of_the_owner() -> None:
    with pytest.raises(Refused, match="plain http"):
        EVERYBODY.address(httpx.URL("http://93.184.216.34/"))
    assert EVERYBODY.address(httpx.URL("https://93.184.216.34/")) == "93.184.216.34"


def test_a_list_lets_in_what_it_names_and_nothing_else() -> None:
    allowed = AllowedHosts.read("127.0.0.1:5000, LOCALHOST")
    assert allowed.address(httpx.URL("http://127.0.0.1:5000/")) == "127.0.0.1"
    assert allowed.address(httpx.URL("http://localhost:81/")) in ("127.0.0.1", "::1")
    for other in ("http://127.0.0.1:5001/", "https://93.184.216.34/", "http://localhost.example/"):
        with pytest.raises(Refused, match="not among the trackers"):
            allowed.address(httpx.URL(other))
    for none in ("http://none/", "https://93.184.216.34/"):
        with pytest.raises(Refused, match="not among the trackers"):
            AllowedHosts.read("none").address(httpx.URL(none))


@pytest.mark.parametrize("turned_to", ["169.254.169.254", "224.0.0.1"])
def test_a_listed_name_cannot_be_turned_to_metadata(monkeypatch: pytest.MonkeyPatch, turned_to: str) -> None:
    answer = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (turned_to, 443))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answer)
    with pytest.raises(Refused, match="not a public address"):
        AllowedHosts.read("mlflow.example").address(httpx.URL("https://mlflow.example/"))


def test_the_checked_address_is_the_one_that_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that leads elsewhere at the second look-up reaches nobody by it: there is no second one."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def rebinding(host: str, *given: object, **named: object) -> object:
        asked.append(host)
        return real("127.0.0.1" if host == "mlflow.example" else host, *given, **named)  # type: ignore[arg-type]

    with serving(_answer(b'{"runs": []}')) as port:
        monkeypatch.setattr(socket, "getaddrinfo", rebinding)
        with opened(f"http://mlflow.example:{port}", "mlflow.example") as connection:
            assert connection.send("GET", "/x") == b'{"runs": []}'
    assert asked.count("mlflow.example") == 1


def _answer(body: bytes, head: str = "200 OK", more: str = "") -> Callable[[socket.socket], None]:
    def send(peer: socket.socket) -> None:
        peer.sendall(f"HTTP/1.1 {head}\r\ncontent-length: {len(body)}\r\n{more}\r\n".encode() + body)

    return send


def _endless(peer: socket.socket) -> None:
    peer.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    for _ in range(100):
        peer.sendall(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")


def _dripping(stop: threading.Event, start: bytes) -> Callable[[socket.socket], None]:
    def send(peer: socket.socket) -> None:
        peer.sendall(start)
        while not stop.wait(0.05):
            peer.sendall(b"x")

    return send


@contextmanager
def serving(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """Answer every connection in the same way, until the block ends."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(8)

        def serve() -> None:
            while True:
                try:
                    peer, _ = sock.accept()
                except OSError:
                    return
                with peer:
                    try:
                        peer.recv(65536)
                        answer(peer)
                    except OSError:
                        continue

        threading.Thread(target=serve, daemon=True).start()
        yield int(sock.getsockname()[1])
        sock.shutdown(socket.SHUT_RDWR)


@contextmanager
def opened(uri: str, hosts: str = "127.0.0.1", *, seconds: float = 20.0) -> Iterator[PeerConnection]:
    transport = GuardedTransport(AllowedHosts.read(hosts), seconds=seconds, most_bytes=1 << 20)
    with PeerConnection(uri, patience=Patience(tries=1, timeout=5.0), transport=transport) as connection:
        yield connection


def test_an_endless_answer_is_cut() -> None:
    with serving(_endless) as port, opened(f"http://127.0.0.1:{port}") as connection:
        with pytest.raises((Unreachable, TooLarge), match="does not answer") as caught:
            connection.send("GET", "/x")
        assert "more than was asked for" in caught.value.cause


@pytest.mark.parametrize(
    "start", [b"HTTP/1.1 200 OK\r\nx: ", b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n"], ids=["head", "body"]
)
def test_one_that_drips_is_cut_although_it_never_pauses(start: bytes) -> None:
    stop = threading.Event()
    try:
        with serving(_dripping(stop, start)) as port:
            _assert_cut(port)
    finally:
        stop.set()


def _assert_cut(port: int) -> None:
    with opened(f"http://127.0.0.1:{port}", seconds=1.0) as connection, pytest.raises(Unreachable):
        connection.send("GET", "/x")


def test_a_redirect_is_not_followed() -> None:
    followed: list[int] = []
    with serving(lambda _: followed.append(1)) as trap:
        more = f"location: http://127.0.0.1:{trap}/\r\n"
        answer = _answer(b"", "302 Found", more)
        with (
            serving(answer) as port,
            opened(f"http://127.0.0.1:{port}") as connection,
            pytest.raises(UsageError, match="leads on to"),
        ):
            connection.send("GET", "/x")
    assert followed == []


def test_packed_answers_are_refused() -> None:
    answer = _answer(b"x", more="content-encoding: gzip\r\n")
    with serving(answer) as port, opened(f"http://127.0.0.1:{port}") as connection:
        with pytest.raises(Unreachable) as caught:
            connection.send("GET", "/x")
        assert "packs its answer" in caught.value.cause


@pytest.mark.parametrize(
    "body", [b"<html>", b"[]", b'{"experiment": 3}', b'{"experiment": {"name": []}}', b"[" * 90_000]
)
def test_what_is_not_mlflow_s_is_an_error_and_no_crash(body: bytes) -> None:
    with (
        serving(_answer(body)) as port,
        opened(f"http://127.0.0.1:{port}") as connection,
        pytest.raises(HeadwayError),
    ):
        PeerReader(connection).experiment_named("x")

"""Notifications leave this network only, and only for the address that was looked at; their address is a secret."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import structlog

from headway.auth.secrets import SecretStore
from headway.errors import Refused, Unreachable
from headway.flow import notify
from headway.jobs.store import JobStore
from headway.projects.model import NotifySpec

if TYPE_CHECKING:
    from fakes.story import Story


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1/",
        "http://localhost/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:a9fe:a9fe]/",
        "http://169.254.169.254/latest/meta-data",
        "http://10.1.2.3/",
        "http://192.168.1.1/",
        "http://100.64.0.1/",
        "http://0.0.0.0/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://127.1/",
        "http://[fe80::1]/",
        "http://[fd00::1]/",
        "http://224.0.0.1/",
        "http://user:pass@127.0.0.1/",
        "file:///etc/passwd",
        "gopher://8.8.8.8/",
        "ftp://8.8.8.8/",
        "http:///x",
        "//8.8.8.8/",
    ],
)
def test_nothing_is_sent_into_the_own_network(address: str) -> None:
    with pytest.raises((Refused, Unreachable)):
        notify.public_address(httpx.URL(address))


def test_one_private_address_among_public_ones_is_enough_to_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: _answers("8.8.8.8", "10.0.0.1"))
    with pytest.raises(Refused, match=r"10\.0\.0\.1"):
        notify.public_address(httpx.URL("https://hooks.example.com/x"))


def _answers(*addresses: str) -> list[Any]:
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80)) for address in addresses]


class Trap(http.server.BaseHTTPRequestHandler):
    """Something in the own network that must never be reached by a name that was public when it was checked."""

    seen: list[tuple[str, str]]
    answer = 200

    def do_POST(self) -> None:
        self.seen.append((self.path, self.headers["host"]))
        self.send_response(self.answer)
        self.send_header("location", "http://169.254.169.254/")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def trap() -> Iterator[tuple[int, type[Trap]]]:
    handler = type("Own", (Trap,), {"seen": []})
    server = http.server.HTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port, handler
    server.shutdown()
    server.server_close()


def test_the_name_is_looked_up_once(monkeypatch: pytest.MonkeyPatch, trap: tuple[int, type[Trap]]) -> None:
    port, handler = trap
    asked: list[str] = []

    def rebinding(host: str, *_: object, **__: object) -> list[Any]:
        # Public for whoever checks, loopback for whoever comes again; TEST-NET answers nobody.
        asked.append(host)
        return _answers("8.8.8.8" if len(asked) == 1 else "127.0.0.1")

    connected: list[str] = []

    def refuse(address: tuple[str, int], *_: object, **__: object) -> socket.socket:
        connected.append(address[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    monkeypatch.setattr(socket, "create_connection", refuse)
    with pytest.raises(httpx.ConnectError):
        notify._send(NotifySpec(kind="webhook", secret="HOOK"), f"http://rebind.example:{port}/x", {"text": "t"})
    assert (asked, connected, handler.seen) == (["rebind.example"], ["8.8.8.8"], [])


def test_it_is_sent_under_its_own_name_and_follows_no_redirect(
    monkeypatch: pytest.MonkeyPatch, trap: tuple[int, type[Trap]]
) -> None:
    port, handler = trap
    handler.answer = 302
    monkeypatch.setattr(notify, "public_address", lambda _url: "127.0.0.1")
    with pytest.raises(httpx.HTTPStatusError):
        notify._send(NotifySpec(kind="slack", secret="HOOK"), f"http://hooks.example:{port}/x", {"text": "t"})
    assert handler.seen == [("/x", f"hooks.example:{port}")]


def test_an_address_is_never_logged(
    story: Story, monkeypatch: pytest.MonkeyPatch, trap: tuple[int, type[Trap]]
) -> None:
    port, handler = trap
    handler.answer = 500
    monkeypatch.setattr(notify, "public_address", lambda _url: "127.0.0.1")
    with story.app.database.write() as tx:
        value = f"http://hooks.example:{port}/T0/B0/verysecret"
        SecretStore(tx).set(story.repo.id, "HOOK", value=value, by="ada", at=story.clock.now())
    job = story.ended()
    with story.app.database.read() as tx:
        plan = JobStore(tx).plan(job.plan_id)
    told = replace(plan.project, notifications=(NotifySpec(kind="slack", secret="HOOK", events=("finished",)),))
    with structlog.testing.capture_logs() as logged:
        notify.notify_ended(story.app, job, replace(plan, project=told), story.result(job))
    assert [line["error"] for line in logged] == ["it answered 500"]
    assert "verysecret" not in str(logged)

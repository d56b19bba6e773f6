"""A real browser against real pages: Debian's Chromium, headless, without any driver."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from fakes.site import Site, filled_site
from headway.web.guard import refusal, refuse
from headway.web.pages import web_routes

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


class Guarded:
    """The pages behind the same guard as in the server; tells a listener of every request."""

    def __init__(self, site: Site) -> None:
        self.pages = Starlette(routes=web_routes(site.app))
        self.hosts: frozenset[str] = frozenset()
        self.heard: list[str] = []
        self.on_request: Callable[[str], None] = self.heard.append

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        asked = scope["query_string"].decode()
        self.on_request(f"{scope['method']} {scope['path']}{'?' if asked else ''}{asked}")
        reason = refusal(scope, self.hosts)
        if reason:
            await refuse(send, reason)
        else:
            await self.pages(scope, receive, send)


@dataclass
class Seen:
    """What the browser made of a page."""

    dom: str
    console: list[str]


@dataclass
class Window:
    """A browser window on one site."""

    site: Site
    guarded: Guarded
    base: str
    profile: Path

    def look(self, path: str, *, milliseconds: int = 5000) -> Seen:
        command = [
            str(CHROMIUM),
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-extensions",
            "--no-first-run",
            "--enable-logging=stderr",
            f"--user-data-dir={self.profile}",
            f"--virtual-time-budget={milliseconds}",
            "--dump-dom",
            self.base + path,
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        return Seen(dom=done.stdout, console=[line for line in done.stderr.splitlines() if "CONSOLE" in line])


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Guarded, str]]:
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    site = filled_site(tmp_path_factory.mktemp("site"))
    guarded = Guarded(site)
    server = uvicorn.Server(uvicorn.Config(guarded, host="127.0.0.1", port=0, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    ends = time.monotonic() + 60
    while not server.started:
        assert time.monotonic() < ends, "the server did not start"
        time.sleep(0.05)
    port = server.servers[0].sockets[0].getsockname()[1]
    guarded.hosts = frozenset({f"127.0.0.1:{port}"})
    yield site, guarded, f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(timeout=15)
    site.app.close()


@pytest.fixture(scope="session")
def window(served: tuple[Site, Guarded, str], tmp_path_factory: pytest.TempPathFactory) -> Window:
    site, guarded, base = served
    return Window(site=site, guarded=guarded, base=base, profile=tmp_path_factory.mktemp("profile"))

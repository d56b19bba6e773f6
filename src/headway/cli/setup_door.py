"""The door of a set-up: a listener on loopback alone that lives for one App, opened by a word from the console."""

from __future__ import annotations

import html
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from headway.clock import Clock
from headway.errors import HeadwayError, Refused
from headway.forges.github.config import save_config
from headway.forges.github.manifest import Invitation, Made, convert, manifest, registration_page
from headway.forges.github.tokens import web_base

LOOPBACK = "127.0.0.1"
_LONGEST = 2000  # characters of an address


class SetupDoor:
    """Two pages: one sends the manifest to GitHub, to the other GitHub sends the browser back."""

    def __init__(
        self, *, api: str, name: str, public_url: str, organisation: str, folder: Any, clock: Clock, port: int = 0
    ) -> None:
        """Listen on loopback; nothing is answered before `invitation.token` is shown."""
        self.api = api
        self.invitation = Invitation(clock)
        self.made: Made | None = None
        self.problem: HeadwayError | None = None
        self.done = threading.Event()
        self._target = registration_page(api, organisation)
        self._name = name
        self._public_url = public_url
        self._folder = folder
        owner = self

        class Handler(_Handler):
            door = owner

        self._server = ThreadingHTTPServer((LOOPBACK, port), Handler)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """The address to open, with its one-time word."""
        return f"{self.base}/setup?token={quote(self.invitation.token)}"

    @property
    def base(self) -> str:
        """Where the door listens."""
        return f"http://{LOOPBACK}:{self.port}"

    def wait(self) -> Made:
        """Return the App once it is made and kept.

        Raises:
            Refused: nobody came within ten minutes.
            HeadwayError: GitHub did not give the keys.
        """
        while not self.done.wait(0.2):
            if self.invitation.is_over:
                raise Refused("nobody finished the set-up within ten minutes", hint="headway init --github")
        if self.problem is not None:
            raise self.problem
        if self.made is None:
            raise Refused("the set-up ended without an App", hint="headway init --github")
        return self.made

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)

    def page(self) -> str:
        """Return the page that carries the manifest to GitHub when its button is pressed."""
        wanted = manifest(name=self._name, public_url=self._public_url, back=f"{self.base}/done")
        rows = "".join(
            f"<li><b>{html.escape(name)}</b>: {html.escape(level)}</li>"
            for name, level in wanted["default_permissions"].items()
        )
        action = f"{self._target}?state={quote(self.invitation.state)}"
        return _PAGE.format(
            title="Make the GitHub App",
            body=f"<p>The App will be registered at {html.escape(web_base(self.api))} with these permissions "
            f"and no others:</p><ul>{rows}</ul>"
            f'<form method="post" action="{html.escape(action)}">'
            f'<input type="hidden" name="manifest" value="{html.escape(json.dumps(wanted))}">'
            "<button>Go on at GitHub</button></form>",
        )

    def finish(self, code: str) -> str:
        """Exchange the code, keep the keys, and return the page that says so."""
        try:
            made = convert(self.api, code)
            save_config(self._folder, made.config)
        except HeadwayError as error:
            self.problem = error
            return _PAGE.format(title="No App was made", body=f"<p>{html.escape(error.message)}</p>")
        self.made = made
        link = html.escape(made.install)
        return _PAGE.format(
            title="The App is made",
            body=f'<p>Its keys are kept on the server. Now <a href="{link}">install it on your repositories</a>.</p>',
        )


class _Handler(BaseHTTPRequestHandler):
    door: SetupDoor
    server_version = "headway"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer one of the two pages, and nothing else."""
        setup = self.door
        if self.headers.get("host", "") not in (f"{LOOPBACK}:{setup.port}", f"localhost:{setup.port}"):
            self._say(403, "This door is for this machine alone.")  # a name that was bent to point here
            return
        parts = urlsplit(self.path[:_LONGEST])
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path == "/setup" and setup.invitation.open(asked.get("token", "")):
            self._send(200, setup.page())
        elif parts.path == "/done" and setup.invitation.come_back(asked.get("state", "")):
            self._send(200, setup.finish(asked.get("code", "")))
            setup.done.set()
        else:
            self._say(403, "The word in this address is not the one from the console, is used, or is too old.")

    def _say(self, status: int, text: str) -> None:
        self._send(status, _PAGE.format(title="Not here", body=f"<p>{html.escape(text)}</p>"))

    def _send(self, status: int, page: str) -> None:
        content = page.encode()
        github = web_base(self.door.api)
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("X-Frame-Options", "DENY")
        self.send_header(
            "Content-Security-Policy", f"default-src 'none'; form-action {github}; style-src 'unsafe-inline'"
        )
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Write nothing: the address holds the one-time word."""


_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>body{{font:16px system-ui;max-width:40em;margin:3em auto;padding:0 1em}}
button{{font:inherit;padding:.5em 1em}}</style>
<h1>{title}</h1>{body}</html>
"""

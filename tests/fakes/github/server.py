"""The fake GitHub over real HTTP: REST under /api/v3 as on an Enterprise Server, git under /OWNER/REPO.git.

Every request and every answer is judged by GitHub's own description; what does not fit is listed in `problems`, and
the request is answered 422 as GitHub would. `fail` breaks requests on purpose, before or after the deed.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import email.utils
import functools
import hashlib
import json
import os
import re
import subprocess
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode

import jwt
import uvicorn
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from fakes.github import answers, oracle
from fakes.github.world import APP_ID, INSTALLATION, NAME, GitHubWorld

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from starlette.requests import Request

PERSON = "octavia"
PERSONAL_TOKEN = "ghp_personal"  # a fake's
ACTIONS = "github-actions[bot]"
# What a workflow gets as `github.token`: an installation's, in the newer long form.
ACTIONS_TOKEN = "ghs_15368_" + "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9." + "QWN0aW9ucw" * 40 + ".fake"
PREFIX = "/api/v3"
WEBHOOK_SECRET = "It's a Secret to Everybody"  # a fake's
CLIENT_SECRET = "the-fakes-client-secret-of-no-use"


@dataclass
class Fault:
    """The next matching requests go wrong in this way; `status` 0 = the connection is cut."""

    method: str
    path: re.Pattern[str]
    status: int
    headers: dict[str, str]
    after: bool
    times: int
    message: str = "fault"


@dataclass
class FakeGitHub:
    """A running fake; `url` is its API's base."""

    world: GitHubWorld
    private_key: str
    url: str = ""
    problems: list[str] = field(default_factory=list)
    requests: list[tuple[str, str, Any]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    tokens: dict[str, tuple[datetime, dict[str, Any]]] = field(default_factory=dict)
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))  # by which tokens end
    before: Callable[[str, str], None] | None = None  # called ahead of every request: somebody moves first
    remaining: int = 4999
    unchanged: int = 0  # answers of 304: they cost nothing of the limit
    late: float = 0.0  # seconds by which its clock differs from ours
    codes: dict[str, Any] = field(default_factory=dict)
    manifests: list[tuple[str, Any]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def fail(
        self,
        method: str = "*",
        path: str = ".*",
        *,
        status: int = 502,
        after: bool = False,
        times: int = 1,
        headers: dict[str, str] | None = None,
        message: str = "fault",
    ) -> None:
        """Break the next `times` requests that match; `after` does the deed first: a time-out after success."""
        self.faults.append(Fault(method, re.compile(path), status, headers or {}, after, times, message))

    def calls(self, method: str, path: str) -> int:
        """Return how many requests matched."""
        return sum(1 for each in self.requests if each[0] == method and re.search(path, each[1]))

    def count(self) -> Counter[str]:
        """Return how often each operation was asked for."""
        return Counter(
            f"{method} {oracle.find(method, path).id}" for method, path, _ in self.requests if oracle.find(method, path)
        )  # type: ignore[union-attr]

    # --- one request ------------------------------------------------------------------------------

    def rest(self, request: Request, body: bytes) -> Response:
        path = str(request.scope["path"]).removeprefix(PREFIX)  # a URL would take what follows a # for its fragment
        if self.before is not None:
            self.before(request.method, path)
        with self._lock:
            return self._rest(request, path, body)

    def _rest(self, request: Request, path: str, body: bytes) -> Response:
        operation = oracle.find(request.method, path)
        if operation is None:
            self.problems.append(f"{request.method} {path}: no such operation in the description")
            return self._json(*answers.missing())
        decoded = json.loads(body) if body else None
        self.requests.append((request.method, path, decoded))
        if operation.id == "apps/create-from-manifest":
            who: str | None = "nobody"  # the code itself is the proof
        else:
            who = self._who(request)
        if who is None:
            return self._json(401, {"message": "Bad credentials", "documentation_url": "https://docs.github.com/rest"})
        found = oracle.request_problems(operation, dict(request.query_params), decoded)
        if found:
            self.problems += [f"{request.method} {path}: {each}" for each in found]
            return self._json(*answers.unprocessable(found[0][:100]))
        fault = self._fault(request.method, path)
        if fault is not None and not fault.after:
            return self._broken(fault)
        asked = answers.Asked(operation.parameters, dict(request.query_params), decoded, who)
        if operation.id == "apps/create-installation-access-token":
            status, data = self._mint(decoded or {})
        elif operation.id == "apps/create-from-manifest":
            status, data = self._convert(operation.parameters["code"])
        else:
            status, data = answers.answer(self.world, operation.id, asked)
        self.problems += [
            f"answer to {request.method} {path}: {each}" for each in oracle.response_problems(operation, status, data)
        ]
        if fault is not None:
            return self._broken(fault)
        return self._paged(request, status, data)

    def _who(self, request: Request) -> str | None:
        kind, _, text = request.headers.get("authorization", "").partition(" ")
        if text == PERSONAL_TOKEN:
            return PERSON
        if text == ACTIONS_TOKEN:
            return ACTIONS
        if text in self.tokens:
            return "installation" if self.now() < self.tokens[text][0] else None
        if kind.lower() != "bearer":
            return None
        try:
            claims = jwt.decode(text, _public(self.private_key), algorithms=["RS256"], options={"verify_iat": False})
        except jwt.InvalidTokenError:
            return None
        lives = claims["exp"] - time.time()
        return "app" if str(claims["iss"]) == str(APP_ID) and lives <= 600 else None

    def _mint(self, body: dict[str, Any]) -> tuple[int, Any]:
        # The newer form of tokens: long, with dots; nothing may assume a length.
        text = f"ghs_{APP_ID}_{base64.urlsafe_b64encode(os.urandom(240)).decode().rstrip('=')}.x"
        until = self.now() + timedelta(hours=1)
        self.tokens[text] = (until, body)
        permissions = body.get("permissions") or self.world.permissions
        return 201, {"token": text, "expires_at": until.strftime("%Y-%m-%dT%H:%M:%SZ"), "permissions": permissions}

    # --- becoming an App ---------------------------------------------------------------------------

    def register_app(self, request: Request, body: bytes) -> Response:
        """The page that takes a manifest: whoever is logged in there confirms it at once, and is sent back."""
        manifest = json.loads(parse_qs(body.decode())["manifest"][0])
        unknown = set(manifest["default_permissions"]) - set(
            oracle.description()["components"]["schemas"]["app-permissions"]["properties"]
        )
        self.problems += [f"manifest: no permission {each}" for each in sorted(unknown)]
        self.problems += [
            f"manifest: no event {each}" for each in set(manifest["default_events"]) - set(oracle.webhook_examples())
        ]
        code = os.urandom(20).hex()
        self.codes[code] = manifest
        self.manifests.append((request.url.path, manifest))
        back = f"{manifest['redirect_url']}?{urlencode({'code': code, 'state': request.query_params.get('state', '')})}"
        return Response(status_code=302, headers={"location": back})

    def _convert(self, code: str) -> tuple[int, Any]:
        manifest = self.codes.pop(code, None)
        if manifest is None:
            return answers.missing()
        facts = self.world.app_facts() | {"permissions": manifest["default_permissions"], "name": manifest["name"]}
        secret = WEBHOOK_SECRET if manifest["hook_attributes"]["active"] else None
        return 201, facts | {
            "client_secret": CLIENT_SECRET,
            "webhook_secret": secret,
            "pem": self.private_key,
            "client_id": facts["client_id"],
        }

    def _fault(self, method: str, path: str) -> Fault | None:
        for fault in self.faults:
            if fault.times > 0 and fault.method in ("*", method) and fault.path.search(path):
                fault.times -= 1
                return fault
        return None

    def _broken(self, fault: Fault) -> Response:
        if fault.status == 0:
            raise ConnectionResetError("cut on purpose")
        return self._json(fault.status, {"message": fault.message}, fault.headers)

    def _paged(self, request: Request, status: int, data: Any) -> Response:
        size = int(request.query_params.get("per_page", "30"))
        page = int(request.query_params.get("page", "1"))
        headers: dict[str, str] = {}
        items = data if isinstance(data, list) else None
        if isinstance(data, dict) and "check_runs" in data:
            items = data["check_runs"]
        if request.url.path.endswith("/hook/deliveries") and items is not None:
            # Paged by a cursor, from the newest on: numbers of pages would move under the reader.
            start = int(request.query_params.get("cursor", "0"))
            if len(items) > start + size:
                following = request.url.include_query_params(cursor=start + size)
                headers["link"] = f'<{following}>; rel="next"'
            data = items[start : start + size]
        elif items is not None:
            if len(items) > page * size:
                following = request.url.include_query_params(page=page + 1)
                headers["link"] = f'<{following}>; rel="next"'
            shown = items[(page - 1) * size : page * size]
            data = shown if isinstance(data, list) else {**data, "check_runs": shown}
        response = self._json(status, data, headers)
        if request.method == "GET" and status == 200:
            etag = f'W/"{hashlib.sha256(bytes(response.body)).hexdigest()[:32]}"'
            if request.headers.get("if-none-match") == etag:
                self.unchanged += 1
                return Response(status_code=304, headers={"etag": etag, **self._limits()})
            response.headers["etag"] = etag
        return response

    def _json(self, status: int, data: Any, headers: dict[str, str] | None = None) -> Response:
        content = b"" if status == 204 else json.dumps(data).encode()
        given = {"content-type": "application/json; charset=utf-8", **self._limits(), **(headers or {})}
        return Response(content, status_code=status, headers=given)

    def _limits(self) -> dict[str, str]:
        reset = str(int(time.time()) + 600)
        date = email.utils.formatdate(time.time() + self.late, usegmt=True)
        return {
            "date": date,
            "x-ratelimit-limit": "5000",
            "x-ratelimit-remaining": str(self.remaining),
            "x-ratelimit-reset": reset,
        }

    # --- git --------------------------------------------------------------------------------------

    def git(self, request: Request, body: bytes) -> Response:
        """Serve clones and fetches by git's own CGI program, to whoever has a token of this fake."""
        kind, _, text = request.headers.get("authorization", "").partition(" ")
        token = base64.b64decode(text).decode().partition(":")[2] if kind.lower() == "basic" else ""
        if token not in self.tokens and token not in (PERSONAL_TOKEN, ACTIONS_TOKEN):
            return Response("Authentication failed", status_code=401, headers={"www-authenticate": "Basic"})
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.world.git.folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": request.url.path.removeprefix(f"/{NAME}.git"),
            "QUERY_STRING": request.url.query,
            "REQUEST_METHOD": request.method,
            "CONTENT_TYPE": request.headers.get("content-type", ""),
            "HTTP_CONTENT_ENCODING": request.headers.get("content-encoding", ""),
            "GIT_PROTOCOL": request.headers.get("git-protocol", ""),
            "REMOTE_USER": "fake",
        }
        done = subprocess.run(["git", "http-backend"], input=body, env=environment, capture_output=True, check=False)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
        status = int(headers.pop("Status", "200").split(" ")[0])
        return Response(content, status_code=status, headers=headers)


@functools.cache
def _key(_name: str) -> str:
    """Make an App's key; one a name is enough for a whole session, since making it takes long."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    ).decode()


@functools.cache
def _public(private_key: str) -> Any:
    """Read what an App's words are proved with; reading a private key takes as long as ten answers."""
    return serialization.load_pem_private_key(private_key.encode(), None).public_key()


@contextlib.contextmanager
def running(folder: Path, *, with_app: bool = True, key: str = "usual") -> Iterator[FakeGitHub]:
    """Run a fake GitHub on a free port of loopback until the block ends."""
    fake = FakeGitHub(world=GitHubWorld(folder, with_app=with_app), private_key=_key(key))

    async def rest(request: Request) -> Response:
        body = await request.body()
        return await asyncio.to_thread(fake.rest, request, body)

    async def git(request: Request) -> Response:
        body = await request.body()
        return await asyncio.to_thread(fake.git, request, body)

    async def registration(request: Request) -> Response:
        return fake.register_app(request, await request.body())

    methods = ["GET", "POST", "PATCH", "PUT", "DELETE"]
    routes = [
        Route("/settings/apps/new", registration, methods=["POST"]),
        Route("/organizations/{org}/settings/apps/new", registration, methods=["POST"]),
        Route(f"{PREFIX}/{{path:path}}", rest, methods=methods),
        Route(f"/{NAME}.git/{{path:path}}", git, methods=methods),
    ]
    server = uvicorn.Server(
        uvicorn.Config(Starlette(routes=routes), port=0, log_level="critical", lifespan="off", date_header=False)
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    fake.world.base = f"http://127.0.0.1:{port}"
    fake.url = f"{fake.world.base}{PREFIX}"
    try:
        yield fake
    finally:
        server.should_exit = True
        thread.join(timeout=10)


assert INSTALLATION  # the number that the App's access is minted for

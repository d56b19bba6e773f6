"""Becoming a GitHub App: the manifest that a person confirms, and the code that is exchanged for the App's keys."""

from __future__ import annotations

import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import msgspec

from headway.errors import Refused, Unreachable, UsageError
from headway.forges.github.api import AGENT, API_VERSION, TIMEOUT
from headway.forges.github.config import GitHubApp, GitHubConfig
from headway.forges.github.permissions import EVENTS, NEEDED
from headway.forges.github.tokens import web_base
from headway.logs import hide

if TYPE_CHECKING:
    from headway.clock import Clock

LIVES = timedelta(minutes=10)
DOOR = "/webhooks/github"
_CODE = re.compile(r"[A-Za-z0-9_-]{1,200}")
_ORGANISATION = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,38}")
HOMEPAGE = "https://headway.example"


def manifest(*, name: str, public_url: str, back: str) -> dict[str, Any]:
    """Return the App that is asked for: no more than what is needed, and no webhook where nobody could reach us."""
    home = public_url.rstrip("/") or HOMEPAGE
    return {
        "name": name,
        "url": home,
        "redirect_url": back,
        "public": False,
        # GitHub wants an address even where nothing is to be sent; polling needs none.
        "hook_attributes": {"url": f"{home}{DOOR}", "active": bool(public_url)},
        "default_permissions": {each.name: each.level for each in NEEDED},
        "default_events": list(EVENTS),
    }


def registration_page(api: str, organisation: str = "") -> str:
    """Return the page of GitHub that takes a manifest: a person's own settings, or an organisation's.

    Raises:
        UsageError: that is no name of an organisation.
    """
    if not organisation:
        return f"{web_base(api)}/settings/apps/new"
    if not _ORGANISATION.fullmatch(organisation):
        raise UsageError(f"{organisation[:60]!r} is no name of an organisation")
    return f"{web_base(api)}/organizations/{organisation}/settings/apps/new"


def check_api(api: str) -> str:
    """Return the base address of a GitHub's API, without a slash at its end.

    Raises:
        UsageError: it is none, or tokens would go there in the clear.
    """
    base = api.strip().rstrip("/")
    parts = urlsplit(base)
    is_here = parts.hostname in ("127.0.0.1", "::1", "localhost")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_here):
        raise UsageError(
            f"{api!r} is no address to send tokens to",
            cause="only https:// keeps them from being read on the way",
            hint="https://api.github.com, or https://HOST/api/v3 for GitHub Enterprise Server",
        )
    if not parts.hostname or parts.query or parts.fragment or parts.username:
        raise UsageError(f"{api!r} is no base address of an API", hint="https://HOST/api/v3")
    if parts.hostname in ("github.com", "www.github.com"):
        raise UsageError(f"{api!r} is GitHub's page, not its API", hint="https://api.github.com")
    return base


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What became of a manifest: the configuration to keep, and where to install the App."""

    config: GitHubConfig
    page: str

    @property
    def install(self) -> str:
        """The page on which somebody chooses the repositories."""
        return f"{self.page}/installations/new"


class _Converted(msgspec.Struct, frozen=True, kw_only=True):
    id: int
    pem: str
    slug: str = ""
    name: str = ""
    html_url: str = ""
    webhook_secret: str | None = None
    client_secret: str = ""


def convert(api: str, code: str, *, transport: httpx.BaseTransport | None = None) -> Made:
    """Exchange the code that GitHub gave the browser for the App's keys; it works once, and for an hour.

    Raises:
        Refused: GitHub does not know the code (any more).
        Unreachable: GitHub does not answer.
        UsageError: that is no code.
    """
    if not _CODE.fullmatch(code):
        raise UsageError("GitHub sent no code that can be exchanged", hint="headway init --github, once more")
    headers = {"user-agent": AGENT, "accept": "application/vnd.github+json", "x-github-api-version": API_VERSION}
    try:
        with httpx.Client(timeout=TIMEOUT, transport=transport, follow_redirects=False) as client:
            answer = client.post(f"{api}/app-manifests/{code}/conversions", headers=headers)
    except httpx.HTTPError as error:
        raise Unreachable(f"GitHub does not answer at {api}", cause=type(error).__name__) from None
    if answer.status_code != 201:
        raise Refused(
            f"GitHub answers {answer.status_code} to the code of the new App",
            cause="a code works once and for an hour",
            hint="delete the App at GitHub if it was made, then headway init --github",
        )
    try:
        found = msgspec.json.decode(answer.content, type=_Converted)
    except (msgspec.DecodeError, msgspec.ValidationError):
        # What could not be read holds a private key: not a word of it goes into the error.
        raise Unreachable("GitHub's answer to the new App's code cannot be read") from None
    hide(found.pem, found.webhook_secret or "", found.client_secret)
    app = GitHubApp(id=found.id, slug=found.slug, name=found.name, private_key=found.pem)
    known = (found.webhook_secret,) if found.webhook_secret else ()
    page = found.html_url or f"{web_base(api)}/apps/{found.slug}"
    return Made(config=GitHubConfig(api=api, app=app, webhook_secrets=known), page=page)


class Invitation:
    """The one-time word that opens a set-up, and the state that must come back with GitHub's answer."""

    def __init__(self, clock: Clock) -> None:
        """Make both; they are good for ten minutes, and each once."""
        self.token = secrets.token_urlsafe(32)
        self.state = secrets.token_urlsafe(32)
        self.until: datetime = clock.now() + LIVES
        self._clock = clock
        self._is_token_left = True
        self._is_state_left = False

    @property
    def is_over(self) -> bool:
        """Whether the ten minutes are gone."""
        return self._clock.now() >= self.until

    def open(self, token: str) -> bool:
        """Whether this is the word that the console printed; only the first time, and not too late."""
        is_right = hmac.compare_digest(token.encode(), self.token.encode())
        if not is_right or not self._is_token_left or self.is_over:
            return False
        self._is_token_left, self._is_state_left = False, True
        return True

    def come_back(self, state: str) -> bool:
        """Whether GitHub's answer belongs to the page that this invitation opened; only the first time."""
        is_right = hmac.compare_digest(state.encode(), self.state.encode())
        if not is_right or not self._is_state_left or self.is_over:
            return False
        self._is_state_left = False
        return True

"""With what we speak to GitHub: the App's signed word, an installation's hour-long token, or a person's token."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import jwt
from gidgethub import apps

from headway.errors import Conflict, NotFound, Refused, UsageError
from headway.forges.github.budget import Budget
from headway.logs import hide

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headway.clock import Clock
    from headway.forges.github.api import GitHubApi
    from headway.forges.github.config import GitHubApp, GitHubConfig

# A token lives an hour; a fresh one is taken while the old one still works.
RENEW_BEFORE = timedelta(minutes=5)
JWT_LIVES = 9 * 60  # seconds; GitHub allows ten minutes


@dataclass(frozen=True, slots=True)
class _Minted:
    text: str
    until: datetime


class Access:
    """One way to speak: its credentials, its budget, and a name for what is cached of it."""

    def __init__(self, name: str, budget: Budget, source: AppWord | Installation | str) -> None:
        """`source` mints the credentials; a plain text is a person's token."""
        self.name = name
        self.budget = budget
        self._source = source

    def credentials(self) -> dict[str, str]:
        """Return the keyword for gidgethub's headers: `jwt` or `oauth_token`."""
        if isinstance(self._source, str):
            return {"oauth_token": self._source}
        return self._source.credentials()

    def token(self) -> str:
        """Return the token as git needs it."""
        return self.credentials().get("oauth_token", "")

    def forget(self) -> None:
        """Take a fresh token for the next request: this one was not accepted."""
        if isinstance(self._source, Installation):
            self._source.forget()


class AppWord:
    """The App speaking for itself, by a short-lived signed token (RS256)."""

    def __init__(self, app: GitHubApp) -> None:
        """Sign with the App's private key."""
        self._app = app
        self._key: Any = None

    def credentials(self) -> dict[str, str]:
        """Return a freshly signed JWT."""
        try:
            if self._key is None:  # read once: that takes 30 ms, signing one
                self._key = jwt.get_algorithm_by_name("RS256").prepare_key(self._app.private_key)
            return {"jwt": apps.get_jwt(app_id=str(self._app.id), private_key=self._key, expiration=JWT_LIVES)}
        except (ValueError, jwt.InvalidKeyError) as error:
            raise UsageError(
                "the App's private key cannot be used", cause=str(error)[:200], hint="headway init --github"
            ) from None


class Installation:
    """The App speaking in one installation: tokens that live an hour, minted when needed."""

    def __init__(self, number: int, api: GitHubApi, app: Access, clock: Clock) -> None:
        """Mint through the App's own access."""
        self._number = number
        self._api = api
        self._app = app
        self._clock = clock
        self._minted: _Minted | None = None
        self._lock = threading.Lock()

    def credentials(self) -> dict[str, str]:
        """Return a token that will work for at least five more minutes."""
        with self._lock:
            if self._minted is None or self._clock.now() + RENEW_BEFORE >= self._minted.until:
                self._minted = self._mint({})
            return {"oauth_token": self._minted.text}

    def narrowed(self, repository_id: int, permissions: Mapping[str, str]) -> str:
        """Return a token for one repository and these permissions alone: what a fetch takes along."""
        return self._mint({"repository_ids": [repository_id], "permissions": dict(permissions)}).text

    def forget(self) -> None:
        """Drop the token."""
        with self._lock:
            self._minted = None

    def _mint(self, body: Mapping[str, object]) -> _Minted:
        data = self._api.send("POST", f"/app/installations/{self._number}/access_tokens", self._app, dict(body)).data
        # GitHub's tokens have several forms and lengths: taken as they come, and hidden as they are.
        hide(str(data["token"]))
        return _Minted(str(data["token"]), datetime.fromisoformat(str(data["expires_at"])))


class Tokens:
    """Which access serves which repository."""

    def __init__(self, config: GitHubConfig, api: GitHubApi, clock: Clock) -> None:
        """Speak as the App where there is one, else with the person's token."""
        self.config = config
        self._api = api
        self._clock = clock
        self._lock = threading.Lock()
        self._by_repository: dict[str, int] = {}
        self._installations: dict[int, tuple[Access, Installation]] = {}
        self._person = Access("person", Budget(clock), config.token) if config.token else None
        self._app = Access("app", Budget(clock), AppWord(config.app)) if config.app else None

    @property
    def app_id(self) -> int:
        """The App's number; 0 without an App."""
        return self.config.app.id if self.config.app else 0

    @property
    def app(self) -> Access:
        """The App itself.

        Raises:
            Refused: this server is no App.
        """
        if self._app is None:
            raise Refused("this needs a GitHub App", cause="none is set up here", hint="headway init --github")
        return self._app

    def of(self, name: str) -> Access:
        """Return the access for a repository, OWNER/REPO.

        Raises:
            Refused: GitHub is not set up here, or the App is not installed there.
        """
        if self._app is None:
            if self._person is None:
                raise Refused("GitHub is not set up here", hint="headway init --github, or set HEADWAY_GITHUB_TOKEN")
            return self._person
        return self._installed(name)[0]

    def for_fetch(self, name: str, repository_id: int) -> str:
        """Return a token to read one repository's code with, and nothing else where there is an App."""
        if self._app is None:
            return self.of(name).token()
        return self._installed(name)[1].narrowed(repository_id, {"contents": "read"})

    def installation_of(self, name: str) -> int:
        """Return the number of the installation that a repository belongs to."""
        with self._lock:
            known = self._by_repository.get(name.lower())
        if known is not None:
            return known
        try:
            number = int(self._api.get(f"/repos/{name}/installation", self.app).data["id"])
        except NotFound as error:
            raise Refused(
                f"the App is not installed on {name}",
                cause=error.cause,
                hint=f"install it: {self._install_url()}",
            ) from None
        with self._lock:
            self._by_repository[name.lower()] = number
        return number

    def may_be(self, name: str, number: int) -> bool:
        """Whether a repository may belong to this installation, by what is known without asking."""
        with self._lock:
            return self._by_repository.get(name.lower(), number) == number

    def forget_installation(self, number: int) -> None:
        """Drop what is known of an installation: it was removed, suspended, or its repositories changed."""
        with self._lock:
            self._by_repository = {name: each for name, each in self._by_repository.items() if each != number}
            self._installations.pop(number, None)

    def _installed(self, name: str) -> tuple[Access, Installation]:
        number = self.installation_of(name)
        with self._lock:
            if number not in self._installations:
                source = Installation(number, self._api, self.app, self._clock)
                self._installations[number] = (
                    Access(f"installation {number}", Budget(self._clock), source),
                    source,
                )
            return self._installations[number]

    def _install_url(self) -> str:
        app = self.config.app
        if app is None:
            raise Conflict("no App is set up")
        return f"{web_base(self.config.api)}/apps/{app.slug}/installations/new"


def web_base(api: str) -> str:
    """Return where people see a GitHub whose API is at `api`: its host without `api.` or `/api/v3`."""
    if api.endswith("/api/v3"):
        return api.removesuffix("/api/v3")
    return api.replace("://api.", "://", 1)

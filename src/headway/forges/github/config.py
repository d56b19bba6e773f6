"""How this server is known at GitHub: as an App, or by a person's token; kept in files that only their owner reads."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from headway.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

PUBLIC_API = "https://api.github.com"
APP_FILE = "app.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class GitHubApp:
    """A GitHub App as its manifest's conversion made it."""

    id: int
    slug: str
    private_key: str = field(repr=False)  # PEM
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GitHubConfig:
    """Where GitHub is and who we are there; `app` wins over `token`."""

    api: str = PUBLIC_API  # https://HOST/api/v3 for GitHub Enterprise Server
    app: GitHubApp | None = None
    token: str = field(default="", repr=False)
    webhook_secrets: tuple[str, ...] = field(default=(), repr=False)  # the first signs; all are accepted

    @property
    def is_set_up(self) -> bool:
        """Whether there is any way to speak to GitHub."""
        return self.app is not None or bool(self.token)

    @property
    def secrets(self) -> tuple[str, ...]:
        """Everything of it that must never be printed."""
        key = (self.app.private_key,) if self.app else ()
        return tuple(each for each in (*key, self.token, *self.webhook_secrets) if each)


class _Stored(msgspec.Struct, frozen=True, kw_only=True):
    api: str = PUBLIC_API
    id: int = 0
    slug: str = ""
    name: str = ""
    private_key: str = ""
    token: str = ""
    webhook_secrets: tuple[str, ...] = ()


def read_config(folder: Path, environment: Mapping[str, str] | None = None) -> GitHubConfig:
    """Return the configuration kept in `folder`, with what HEADWAY_GITHUB_API, _TOKEN and _WEBHOOK_SECRETS add.

    Raises:
        UsageError: the file is not ours, or others may read it.
    """
    source = os.environ if environment is None else environment
    stored = _read(folder / APP_FILE)
    app = None
    if stored.private_key:
        app = GitHubApp(id=stored.id, slug=stored.slug, private_key=stored.private_key, name=stored.name)
    given = source.get("HEADWAY_GITHUB_WEBHOOK_SECRETS", "").split(",")
    more = tuple(each.strip() for each in given if each.strip())
    return GitHubConfig(
        api=(source.get("HEADWAY_GITHUB_API") or stored.api).rstrip("/"),
        app=app,
        token=source.get("HEADWAY_GITHUB_TOKEN", "") or stored.token,
        webhook_secrets=(*more, *stored.webhook_secrets),
    )


def save_config(folder: Path, config: GitHubConfig) -> Path:
    """Keep the configuration in `folder`, readable for its owner only, all of it or nothing; return the file."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    app = config.app
    stored = _Stored(
        api=config.api,
        id=app.id if app else 0,
        slug=app.slug if app else "",
        name=app.name if app else "",
        private_key=app.private_key if app else "",
        token=config.token,
        webhook_secrets=config.webhook_secrets,
    )
    target, fresh = folder / APP_FILE, folder / f"{APP_FILE}.new"
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(msgspec.json.encode(stored))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(target)
    return target


def _read(path: Path) -> _Stored:
    try:
        if path.stat().st_mode & 0o077:
            raise UsageError(
                f"{path} holds GitHub's keys and others may read it",
                cause=f"its mode is {path.stat().st_mode & 0o777:o}",
                hint=f"chmod 600 {path}",
            )
        return msgspec.json.decode(path.read_bytes(), type=_Stored)
    except FileNotFoundError:
        return _Stored()
    except msgspec.DecodeError as error:
        raise UsageError(
            f"{path} cannot be read", cause=str(error), hint="headway init --github makes it anew"
        ) from None

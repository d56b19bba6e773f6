"""The server's settings: one frozen record, at most 30 fields, each readable from HEADWAY_<NAME>."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING

from headway.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How this server runs; `from_environment` reads it, tests construct it."""

    data: Path = field(default_factory=lambda: Path.home() / ".headway")
    """The data directory: database, artifacts, environments, attempts. One server each."""
    host: str = "127.0.0.1"
    """The address to listen on; anything but loopback needs auth."""
    port: int = 7474
    """The port to listen on; 0 takes a free one."""
    database: str = ""
    """An SQLAlchemy address; empty means SQLite in the data directory."""
    auth: str = "token"
    """`token`, or `none` (loopback only)."""
    idle_stop: int = 0
    """Seconds without work or requests after which the server ends; 0 = never."""
    public_url: str = ""
    """The address that reports link to; empty means host and port."""
    poll_seconds: int = 15
    """How often a repository at GitHub is looked at where no webhooks come in."""
    catch_up_seconds: int = 300
    """How often it is looked at for what was missed where they do."""
    slots: int = 2
    """How many attempts run at the same time on this machine."""
    isolation: int = -1
    """The isolation level to use (0 or 2); -1 = the best that the self-test allows."""
    log_limit_mb: int = 64
    """What one attempt may write to its log before it is cut with a mark."""
    attempt_disk_mb: int = 20_000
    """What one attempt may write to its folder."""
    keep_attempts_days: int = 14
    """How long ended attempts keep their folder."""
    trash_days: int = 30
    """How long deleted runs, models and experiments can be restored; 0 = until somebody purges them."""
    tracker_hosts: str = ""
    """Hosts, by commas, that `tracking: {uri: ...}` may lead to (HOST or HOST:PORT), private ones and plain http too;
    empty means any https server outside of the own network; `none` means no server at all."""

    @property
    def database_url(self) -> str:
        """The address of the database in force."""
        return self.database or f"sqlite:///{self.data / 'headway.db'}"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Read every field from HEADWAY_<NAME>; an unreadable one is a `UsageError`."""
        source = os.environ if environment is None else environment
        found: dict[str, object] = {}
        for each in fields(cls):
            raw = source.get(f"HEADWAY_{each.name.upper()}")
            if raw is None or raw == "":
                continue
            found[each.name] = _read(each.name, raw, each.type)
        return cls(**found)  # type: ignore[arg-type]  # the names are the record's own fields


def _read(name: str, raw: str, kind: object) -> object:
    if kind == "Path":
        return Path(raw).expanduser()
    if kind != "int":
        return raw
    try:
        return int(raw)
    except ValueError:
        raise UsageError(
            f"HEADWAY_{name.upper()}={raw!r} is not a whole number",
            hint=f"unset HEADWAY_{name.upper()}, or give a number",
        ) from None

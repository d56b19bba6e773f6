"""What an engine can say of the place where it runs attempts, for `headway doctor`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    name: str
    state: str  # ok | warn | fail
    found: str
    cause: str = ""
    hint: str = ""


def findings(engine: object) -> Iterable[Finding]:
    """Return what an engine finds of its place; the local one has nothing beside this machine."""
    prove = getattr(engine, "prove", None)
    return () if prove is None else prove()

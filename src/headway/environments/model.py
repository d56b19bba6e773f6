"""What an environment is: its sources, its digest, the trust of whoever named them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum


class Tier(IntEnum):
    """Whose code made it; a lower tier reads from a higher one and never writes into it."""

    FORK = 0
    CHANGE = 1  # a member's change
    MAIN = 2


class EnvKind(StrEnum):
    """How the environment is described."""

    UV_LOCK = "uv.lock"
    REQUIREMENTS = "requirements"
    PYPROJECT = "pyproject"
    NONE = "none"
    IMAGE = "image"  # a container that the project brings, with whatever Python is in it


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvSpec:
    """A Python environment, content-addressed: equal digests are the same environment."""

    digest: str  # of kind, python and the bytes of the source files
    kind: EnvKind
    python: str  # "3.11"; a version that uv finds on this machine; "" = an image's own
    files: tuple[str, ...] = ()  # paths in the project that describe it, first the lock


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltEnv:
    """An environment that stands ready."""

    digest: str
    path: str  # folder with bin/python
    seconds: float  # time it took to make; reused ones keep the first figure
    packages: int
    reused: bool

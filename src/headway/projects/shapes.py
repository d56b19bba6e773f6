"""The kinds of value that a headway.yaml may hold: one description for the parser and for the JSON Schema."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

LONGEST_TEXT = 2000
LONGEST_PARAM = 500
LEAST_PARAM, MOST_PARAM = -(2**63), 2**63 - 1  # what databases and other languages hold


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A text; with `pattern` (for the whole of it), with `choices`, or any."""

    says: str = "text"
    example: str = ""
    pattern: str | None = None
    choices: tuple[str, ...] = ()
    least: int = 1
    longest: int = LONGEST_TEXT
    read: Callable[[str], object] = str

    def fits(self, value: str) -> bool:
        """Whether the text is one of these."""
        if self.choices and value not in self.choices:
            return False
        has_pattern = self.pattern is None or re.fullmatch(self.pattern, value) is not None
        return has_pattern and self.least <= len(value) <= self.longest


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A finite number between bounds; `whole` ones come back as int."""

    least: float
    most: float
    is_whole: bool = False
    above_least: bool = False  # the least itself is not allowed

    @property
    def says(self) -> str:
        """What it must be, for people."""
        kind = "a whole number" if self.is_whole else "a number"
        start = f"above {self.least:g}" if self.above_least else f"from {self.least:g}"
        return f"{kind} {start} to {self.most:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """true or false."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalar:
    """A text, a number, true or false: the value of a param."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListOf:
    """A list of equal things."""

    item: Shape
    least: int = 0
    most: int = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class MapOf:
    """A mapping whose keys are the project's own names."""

    key: Text
    value: Shape
    least: int = 0
    most: int = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One known key of a mapping."""

    shape: Shape
    says: str
    is_needed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """A mapping with known keys; exactly one of `one_of` must be there."""

    keys: Mapping[str, Key] = field(default_factory=dict)
    one_of: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Either:
    """A short form and a long one, told apart by their kind: text, list or mapping."""

    options: tuple[Shape, ...]


Shape = Text | Number | Flag | Scalar | ListOf | MapOf | Fields | Either

"""What is there and what is here, side by side, and everything that did not come along as it was."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from typing import Any


@dataclass(slots=True)
class Figures:
    """Counts of one side."""

    experiments: int = 0
    runs: int = 0
    points: int = 0
    params: int = 0
    tags: int = 0
    logged_models: int = 0
    models: int = 0
    versions: int = 0
    files: int = 0
    bytes: int = 0

    def add(self, **more: int) -> None:
        """Count more."""
        for name, number in more.items():
            setattr(self, name, getattr(self, name) + number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that did not come along as it is at the source."""

    what: str  # run 4c4ee204..., model flights, experiment "x"
    why: str


@dataclass(slots=True)
class Outcome:
    """What an import came to."""

    there: Figures = field(default_factory=Figures)
    here: Figures = field(default_factory=Figures)
    problems: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)
    new: int = 0  # runs that this import wrote

    def problem(self, what: str, why: str) -> None:
        """Note what did not come along."""
        self.problems.append(Problem(what=what, why=why))

    def note(self, what: str, why: str) -> None:
        """Note what is worth knowing and no fault."""
        self.notes.append(Problem(what=what, why=why))

    @property
    def is_whole(self) -> bool:
        """Whether everything is here."""
        return not self.problems

    def rows(self) -> list[tuple[str, int, int]]:
        """Return name, there, here of every count."""
        return [
            (each.name.replace("_", " "), getattr(self.there, each.name), getattr(self.here, each.name))
            for each in fields(Figures)
        ]

    def plain(self) -> dict[str, Any]:
        """Return all of it for a program."""
        return {
            "there": asdict(self.there),
            "here": asdict(self.here),
            "new_runs": self.new,
            "problems": [asdict(each) for each in self.problems],
            "notes": [asdict(each) for each in self.notes],
            "whole": self.is_whole,
        }


def difference(there: Iterable[tuple[str, int]], here: dict[str, int], *, is_new: bool) -> str:
    """Say where two counts differ; what is more here counts only for what this import wrote itself."""
    told = [
        f"{name}: {number} there, {here.get(name, 0)} here"
        for name, number in there
        if here.get(name, 0) < number or (is_new and here.get(name, 0) != number)
    ]
    return "; ".join(told)

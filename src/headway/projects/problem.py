"""What is wrong in a headway.yaml, with its place; all of a file at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headway.errors import ConfigError

MOST_SHOWN = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One mistake: where it stands, what it is, and what to write instead."""

    file: str
    line: int  # from 1
    column: int  # from 1
    message: str
    fix: str = ""

    @property
    def place(self) -> str:
        """The place as editors and terminals know to jump to it."""
        return f"{self.file}:{self.line}:{self.column}"

    def __str__(self) -> str:
        """One line: place, mistake, fix."""
        return f"{self.place}: {self.message}" + (f" ({self.fix})" if self.fix else "")


class ProjectFileError(ConfigError):
    """A headway.yaml with at least one mistake; `problems` has them in the order of the file."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        """Say the first mistake alone, or all of them together."""
        self.problems = tuple(sorted(problems, key=lambda each: (each.file, each.line, each.column)))
        first = self.problems[0]
        if len(self.problems) == 1:
            super().__init__(f"{first.place}: {first.message}", hint=first.fix)
            return
        listed = [str(each) for each in self.problems[:MOST_SHOWN]]
        if len(self.problems) > MOST_SHOWN:
            listed.append(f"and {len(self.problems) - MOST_SHOWN} more")
        super().__init__(
            f"{first.file} has {len(self.problems)} mistakes",
            cause="\n".join(listed),
            hint="`headway config schema` prints the JSON Schema for your editor",
        )


def quoted(value: object) -> str:
    """Return a foreign value as a short code span that cannot leave its line or its quotes."""
    text = value if isinstance(value, str) else repr(value)
    plain = "".join(char if char.isprintable() else "?" for char in text[:61]).replace("`", "'")
    return f"`{plain[:60]}…`" if len(plain) > 60 else f"`{plain}`"

"""The smallest headway.yaml that says what was found."""

from __future__ import annotations

import shlex

from headway.projects.model import Goal
from headway.projects.source import plain_value


def smallest(*, name: str, script: str, metric: str | None, goal: Goal = Goal.MAXIMIZE) -> str:
    """Return the four lines (two without a metric) of a new project; they read back as they were meant."""
    lines = [f"name: {_text(name)}", f"run: {_text(f'python {shlex.quote(script)}')}"]
    if metric is not None:
        lines += ["metrics:", f"  {_text(metric)}: {{goal: {goal}}}"]
    return "\n".join(lines) + "\n"


def _text(value: str) -> str:
    is_plain = value.isascii() and all(char.isalnum() or char in " ._/-" for char in value)
    if is_plain and value[:1].isalnum() and not value.endswith(" ") and isinstance(plain_value(value), str):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'

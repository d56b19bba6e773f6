"""The team's own layout of the report: text with `{{placeholders}}`, read from the base branch, never executed."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

MAX_LENGTH = 20_000
_PLACE = re.compile(r"\{\{\s*([A-Za-z0-9_.:-]{1,64})\s*\}\}")
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)


def fill(template: str, values: Mapping[str, str]) -> tuple[str, tuple[str, ...], frozenset[str]]:
    """The filled text, what is wrong with the template, and the placeholders that it uses.

    Every value is inserted once and not read again: a metric that is named `{{headline}}` stays those words.
    """
    notes: list[str] = []
    if len(template) > MAX_LENGTH:
        template = template[:MAX_LENGTH]
        notes.append(f"the report template is longer than {MAX_LENGTH:,} characters and was cut")
    used: set[str] = set()

    def place(found: re.Match[str]) -> str:
        name = found.group(1)
        used.add(name)
        if name in values:
            return values[name]
        near = difflib.get_close_matches(name, values, n=1, cutoff=0)
        notes.append(f"the report template names {name}, which does not exist; the nearest is {near[0]}")
        return ""

    # Hidden comments go: one of them could pose as the marker that this report is found by.
    text = _PLACE.sub(place, _COMMENT.sub("", template.replace("\r\n", "\n")))
    return re.sub(r"\n{3,}", "\n\n", text).strip(), tuple(dict.fromkeys(notes)), frozenset(used)

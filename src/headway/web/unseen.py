"""Characters that show a reader something else than what is there."""

from __future__ import annotations

import re

# Controls, zero-width and bidirectional marks.
_UNSEEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")


def visible(text: str) -> str:
    """Return the text without them; line ends and tabs stay."""
    return _UNSEEN.sub("", text)

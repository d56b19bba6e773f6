"""Blacks out texts in a stream of bytes, before it is written anywhere."""

from __future__ import annotations

import re

HIDDEN = b"***"


class Mask:
    """Knows the texts; holds back at most the beginning of one that the next part may complete."""

    def __init__(self, hidden: list[str]) -> None:
        # One that begins with white space would hold back the end of many a line; it is known without it too.
        forms = sorted({each.encode() for each in hidden if each.strip() and not each[0].isspace()}, key=len)[::-1]
        # The longest first: a short one inside a longer one would leave the rest of it standing.
        self._pattern = re.compile(b"|".join(re.escape(each) for each in forms)) if forms else None
        self._beginnings = {form[:length] for form in forms for length in range(1, len(form))}
        self._longest = len(forms[0]) if forms else 0
        self._held = b""

    def take(self, data: bytes) -> bytes:
        """Return what may be written of this part and of what was held back before."""
        if self._pattern is None:
            return data
        text = self._held + data
        parts, done = [], 0
        start = self._held_from(text, 0)
        for found in self._pattern.finditer(text):
            if found.start() >= start:
                break  # a longer one may begin there
            parts += [text[done : found.start()], HIDDEN]
            done = found.end()
            if done > start:
                start = self._held_from(text, done)
        self._held = text[max(start, done) :]
        return b"".join([*parts, text[done : max(start, done)]])

    def end(self) -> bytes:
        """Return what was held back: nothing completes it any more."""
        held, self._held = self._held, b""
        return held if self._pattern is None else self._pattern.sub(HIDDEN, held)

    def _held_from(self, text: bytes, least: int) -> int:
        """Return from where on the end of a text may be the beginning of a hidden one."""
        first = max(least, len(text) - self._longest + 1)
        return next((at for at in range(first, len(text)) if text[at:] in self._beginnings), len(text))

"""Which lines of a Markdown comment a person wrote as text: no code, no quotes, nothing hidden.

Where Markdown is unclear, more is taken as hidden: a command that was not run is asked for again,
a command that ran from a quoted example is not taken back.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

# Only these end a line for a forge; str.splitlines also knows separators that stay invisible there.
_LINE_END = re.compile(r"\r\n|\r|\n")
_LIST_MARK = re.compile(r" {0,3}(?:[-*+]|[0-9]{1,9}[.)])(?: {1,4}|\t)")
_FENCE = re.compile(r"(`{3,})[^`]*\Z|(~{3,})")
# Possessive, so that a line of many list marks costs no backtracking.
_QUOTE = re.compile(r"(?: {0,3}(?:[-*+]|[0-9]{1,9}[.)])[ \t]++)*+ {0,3}>")
_NEW_BLOCK = re.compile(r" {0,3}(?:#{1,6}(?:\s|\Z)|[-*+]\s|[0-9]{1,9}[.)]\s|`{3,}|~{3,}|<)")
_RAW_HTML = re.compile(r" {0,3}<(pre|script|style|textarea|template|xmp)(?=[\s>]|\Z)", re.IGNORECASE)
_HIDDEN = {"<!--": "-->", "<?": "?>", "<![CDATA[": "]]>"}
_OPENER = re.compile("|".join(re.escape(opener) for opener in _HIDDEN))
# Characters that show nothing: copied along from chats and web pages.
_NOTHING = dict.fromkeys((0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF, 0x00AD, 0x180E))


@dataclass(frozen=True, slots=True)
class VisibleLine:
    """A line of plain text, without what is hidden in it, and its place in the comment (from 1)."""

    number: int
    text: str


@dataclass(slots=True)
class _Fence:
    mark: str  # the run of ` or ~ that opened it
    indent: int

    def is_closed_by(self, line: str) -> bool:
        rest = line.lstrip(" ")
        run = rest.rstrip(" \t")
        same = len(run) >= len(self.mark) and run == self.mark[0] * len(run)
        return same and len(line) - len(rest) <= self.indent + 3


@dataclass(slots=True)
class _Reader:
    """Where in the document the scan stands; `read` takes one line and returns what of it is text."""

    fence: _Fence | None = None
    closer: str = ""  # what ends the hidden part that is open
    is_quoted: bool = False  # the paragraph above is a quote, and continues without its mark

    def read(self, raw: str) -> str | None:
        # What hides may hold invisible characters, what ends the hiding may not.
        if self.fence is not None:
            if self.fence.is_closed_by(raw):
                self.fence = None
            return None
        if self.closer:
            self._leave_hidden(raw)
            return None
        line = without_invisible(raw)
        if self._is_quote(line) or self._opens_fence(line):
            return None
        raw_html = _RAW_HTML.match(line)
        if raw_html:
            self.closer = f"</{raw_html[1].lower()}"
            self._leave_hidden(raw)
            return None
        kept, self.closer = _cut_hidden(raw)
        shown = without_invisible(kept)
        opener = _OPENER.search(shown)
        if opener:
            self.closer = _HIDDEN[opener[0]].lower()
            shown = shown[: opener.start()]
        return None if line.startswith(("    ", "\t")) else shown

    def _is_quote(self, line: str) -> bool:
        found = _QUOTE.match(line)
        if found:
            self.is_quoted = bool(line[found.end() :].strip())
            return True
        if not line.strip() or _NEW_BLOCK.match(line):
            self.is_quoted = False
        return self.is_quoted

    def _opens_fence(self, line: str) -> bool:
        indent = 0
        while mark := _LIST_MARK.match(line, indent):
            indent = mark.end()
        rest = line[indent:].lstrip(" ")
        at = len(line) - len(rest)
        found = _FENCE.match(rest)
        if not found or at - indent > 3:
            return False
        self.fence = _Fence(mark=found[1] or found[2], indent=at)
        return True

    def _leave_hidden(self, line: str) -> None:
        if self.closer in line.lower():
            self.closer = ""


def without_invisible(text: str) -> str:
    """Return the text without zero-width characters and with every kind of blank as a plain one."""
    if text.isascii():
        return text
    return "".join(" " if unicodedata.category(char) == "Zs" else char for char in text.translate(_NOTHING))


def visible_lines(text: str) -> Iterator[VisibleLine]:
    """Yield the lines of a comment that are text, in order."""
    reader = _Reader()
    for number, raw in enumerate(_LINE_END.split(text), start=1):
        shown = reader.read(raw)
        if shown is not None:
            yield VisibleLine(number, shown)


def _cut_hidden(line: str) -> tuple[str, str]:
    """Return the line without its hidden parts, and what ends the one that it leaves open."""
    kept, at = [], 0
    while opener := _OPENER.search(line, at):
        kept.append(line[at : opener.start()])
        closer = _HIDDEN[opener[0]]
        end = line.find(closer, opener.end())
        if end < 0:
            return "".join(kept), closer.lower()
        at = end + len(closer)
    return "".join((*kept, line[at:])), ""

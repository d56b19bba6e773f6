"""Foreign text made harmless for Markdown, code, fences, links and terminals; and secrets taken out of it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import quote

from headway.logs import HIDDEN, SHORTEST_SECRET, conceal, forms_of

NONE = "\u2013"
"""What stands where there is nothing to say."""

LIMIT = 200
"""Characters of one foreign value in running text; longer ones end in an ellipsis."""

LINE_LIMIT = 400
"""Characters of one line of a log."""

_ANSI = re.compile(
    r"\x1b\][^\x07\x1b]{0,4000}(?:\x07|\x1b\\)?"  # OSC: titles, links
    r"|\x1b[P^_X][^\x1b]{0,4000}(?:\x1b\\)?"  # DCS, PM, APC, SOS
    r"|(?:\x1b\[|\x9b)[0-?]{0,64}[ -/]{0,8}[@-~]?"  # CSI: colours, cursor
    r"|\x1b[ -/]{0,8}[0-~]?",
)
_BREAKS = re.compile(r"[\t\n\r\v\f\x85\u2028\u2029]+")
_INVISIBLE = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")  # controls, bidirectional marks, zero width, surrogates


def clean(text: str, *, limit: int = LIMIT) -> str:
    """One visible line: no escape sequences, controls, bidirectional or zero-width marks."""
    # Cut before the work: a value of a hundred megabytes must not cost a hundred megabytes of regular expressions.
    line = _BREAKS.sub(" ", _ANSI.sub("", text[: limit * 4 + 200]))
    line = "".join(each for each in line if unicodedata.category(each) not in _INVISIBLE).strip()
    line = _few_marks(line)
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


_MARKS = re.compile(
    r"([\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]{3})[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+"
)


def _few_marks(line: str) -> str:
    """Stacked accents climb over the lines above and below: three on one letter are enough."""
    return _MARKS.sub(r"\1", line)


_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "$": "&#36;"}
_BREAKER = "&#8203;"  # a zero-width space: breaks what forges make out of plain text, invisibly
_ACTIVE = re.compile(r"[\\`*_\[\]|~!]")
_LINKS = re.compile(r"(?i)\b(https?|ftp|mailto|xmpp)(:)|\b(www)(\.)|\b(GH)(-)(?=\d)")
_LINE_START = re.compile(r"^(#{1,6}|[-+=]+|\d{1,9}[.)])(?=\s|\Z)")
_NUMBER = re.compile(r"(?:[Jj]ob )?#\d{1,9}")
_HEX = re.compile(r"\b([0-9a-f]{7})([0-9a-f]{33})\b", re.IGNORECASE)


def inline(text: str, *, limit: int = LIMIT, in_link: bool = False) -> str:
    """Plain words in Markdown: nothing in them is markup, a link, a mention or a reference."""
    line = clean(text, limit=limit)
    line = "".join(_ENTITIES.get(each, each) for each in line)
    line = _ACTIVE.sub(r"\\\g<0>", line)
    line = _LINKS.sub(lambda found: _broken(found.groups()), line)
    line = _HEX.sub(rf"\1{_BREAKER}\2", line)
    # `&#` belongs to an entity of ours; every other # may start a reference, every @ a mention.
    if not (in_link and _NUMBER.fullmatch(line)):  # our own numbers; forges look for theirs outside of links
        line = re.sub(r"(?<!&)#(?=\w)", f"#{_BREAKER}", line)
    line = re.sub(r"@(?=\w)", f"@{_BREAKER}", line)
    return _LINE_START.sub(lambda found: _start(found.group(1)), line)


def _broken(groups: tuple[str | None, ...]) -> str:
    first, second = [each for each in groups if each]
    return f"{first}{_BREAKER}{second}"


def _start(mark: str) -> str:
    return f"{mark[:-1]}\\{mark[-1]}" if mark[0].isdigit() else f"\\{mark}"


def code_span(text: str, *, limit: int = LIMIT, in_table: bool = False) -> str:
    """A code span whose backticks are more than any inside; forges make no mention out of it."""
    line = _no_comment(clean(text, limit=limit))
    if not line:
        return NONE
    if in_table:
        # A table is cut into cells before code is seen; the backslash is taken off again there.
        line = line.replace("|", "\\|")
    ticks = "`" * (_longest_run(line) + 1)
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{ticks}{pad}{line}{pad}{ticks}"


def fence(lines: Iterable[str], *, info: str = "text") -> str:
    """A fenced block that nothing inside can close."""
    safe = [_no_comment(_log_line(line)) for text in lines for line in text.splitlines() or [""]]
    ticks = "`" * max(3, _longest_run("\n".join(safe)) + 1)
    return "\n".join((f"{ticks}{info}", *safe, ticks))


def _log_line(line: str) -> str:
    """Like `clean`, with the indentation that a traceback needs."""
    expanded = line[: LINE_LIMIT * 20].expandtabs(4)
    indent = len(expanded) - len(expanded.lstrip(" "))
    return " " * min(indent, 40) + clean(expanded, limit=LINE_LIMIT)


def _no_comment(line: str) -> str:
    """A hidden marker in foreign text would let it pose as a report of ours."""
    return line.replace("<!--", "< !--")


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall(r"`+", text)), default=0)


_URL = re.compile(r"(?:https?://[^\s/]+|/(?!/))[^\s]*", re.IGNORECASE)


def url(text: str) -> str:
    """An address for a link, or "" for anything but http(s) and paths of our own."""
    if len(text) > 2000 or not _URL.fullmatch(text) or clean(text, limit=2000) != text:
        return ""
    return quote(text, safe="/:?#@!$&'*+,;=%-._~")


def for_terminal(text: str, *, limit: int = LIMIT) -> str:
    """One visible line for a terminal: what moves the cursor or hides is gone."""
    return clean(text, limit=limit)


def terminal_line(line: str) -> str:
    """A line of a log for a terminal, with its indentation."""
    return _log_line(line)


def redact(text: str, secrets: Iterable[str]) -> str:
    """The text without any known secret, in whatever form: those given, and those of this server itself."""
    text = conceal(text)
    pattern = _pattern(tuple(sorted({each for each in secrets if len(each) >= SHORTEST_SECRET})))
    return pattern.sub(HIDDEN, text) if pattern else text


@lru_cache(maxsize=64)
def _pattern(secrets: tuple[str, ...]) -> re.Pattern[str] | None:
    forms = {form for secret in secrets for form in forms_of(secret)}
    if not forms:
        return None
    # The longest first: a short form inside a longer one would leave the rest of it standing.
    return re.compile("|".join(re.escape(form) for form in sorted(forms, key=lambda each: (-len(each), each))))

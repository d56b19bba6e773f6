"""The search language's pieces, and which of them form comparisons; what they mean is `search.py`'s matter."""

from __future__ import annotations

import re
from typing import NamedTuple

_PART = r'(?:`[^`]*`|"[^"]*"|[^\W\d][\w$#]*)'
_NEXT = r"(?:`[^`]*`|\"[^\"]*\"|'[^']*'|[\w$#]+)"
_PIECE = re.compile(
    rf"""(?P<space>\s+)
    |(?P<comment>--[^\n]*|/\*.*?\*/|\#[^\n]*)
    |(?P<number>-?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
    |(?P<string>'(?:''|\\'|[^'])*')
    |(?P<name>{_PART}(?:\.{_NEXT})*)
    |(?P<op>[<>=!~]+)
    |(?P<mark>[(),;])
    |(?P<bad>\w+|.)""",
    re.VERBOSE | re.DOTALL,
)
_HEAD = re.compile(_PART)
_KEYWORDS = frozenset({"AND", "LIKE", "ILIKE", "IN", "NOT", "IS", "NULL"})
_WORD_OPS = (
    *(("IS", "NOT", "NULL"), ("IS", "NULL")),
    *(("NOT", "IN"), ("NOT", "LIKE"), ("NOT", "ILIKE"), ("NOT", "RLIKE")),
    *(("IN",), ("LIKE",), ("ILIKE",), ("RLIKE",)),
)
_SIDES = frozenset({"name", "number", "string"})
_NULLS = ("IS NULL", "IS NOT NULL")


class Piece(NamedTuple):
    """One word, number, string or sign, and where it stands."""

    kind: str  # comment | number | string | name | op | mark | bad | word | group
    text: str
    start: int
    end: int


class Comparison(NamedTuple):
    """What is compared, how, and with what: one piece, those of a list with its brackets, or none."""

    left: Piece
    op: str
    right: tuple[Piece, ...]
    shown: str  # the right side as it was written


def pieces_of(text: str) -> list[Piece]:
    """Return the pieces of a text, without the spaces between them."""
    found: list[Piece] = []
    for match in _PIECE.finditer(text):
        kind, word = match.lastgroup or "bad", match.group()
        if kind == "space":
            continue
        if kind == "name" and word.upper() in _KEYWORDS:
            kind = "word"
        found.append(Piece(kind, word, match.start(), match.end()))
    return found


_TRUTHS = frozenset({"TRUE", "FALSE"})


def comparisons_of(text: str) -> tuple[list[Comparison], list[Piece]]:
    """Return the comparisons of a text, and the pieces that belong to none of them."""
    pieces = pieces_of(text)
    closed = _closings(pieces)
    found: list[Comparison] = []
    others: list[Piece] = []
    at = 0
    while at < len(pieces):
        comparison, after = _comparison(text, pieces, at, closed=closed)
        if comparison is not None:
            found.append(comparison)
            at = after
            continue
        piece = pieces[at]
        end = closed.get(at, at)
        if end > at:
            piece = Piece("group", text[piece.start : pieces[end].end], piece.start, pieces[end].end)
        if not (piece.kind == "word" and piece.text.upper() == "AND"):
            others.append(piece)
        at = end + 1
    return found, others


def split_name(text: str) -> tuple[str, str, str]:
    """Return what stands before the first dot outside quotes, the dot, and what follows."""
    head = _HEAD.match(text)
    end = head.end() if head else 0
    return text[:end], text[end : end + 1], text[end + 1 :]


def _comparison(text: str, pieces: list[Piece], at: int, *, closed: dict[int, int]) -> tuple[Comparison | None, int]:
    left = pieces[at]
    op, after = _operator(pieces, at + 1)
    if not op or left.kind not in _SIDES:
        return None, at
    if op in _NULLS:
        return Comparison(left, op, (), ""), after
    right = pieces[after] if after < len(pieces) else None
    end = closed.get(after, after)
    is_list = end > after
    if right is None or not (is_list or (right.kind in _SIDES and op not in ("IN", "NOT IN"))):
        return None, at
    if right.text.upper() in _TRUTHS:  # words of SQL, not values
        return None, at
    shown = text[right.start : pieces[end].end]
    return Comparison(left, op, tuple(pieces[after : end + 1]), shown), end + 1


def _operator(pieces: list[Piece], at: int) -> tuple[str, int]:
    words = tuple(piece.text.upper() for piece in pieces[at : at + 3])
    for spelled in _WORD_OPS:
        if words[: len(spelled)] == spelled:
            return " ".join(spelled), at + len(spelled)
    if at < len(pieces) and pieces[at].kind == "op":
        return pieces[at].text, at + 1
    return "", at


def _closings(pieces: list[Piece]) -> dict[int, int]:
    """Return where each bracket that opens is closed, in one pass: a filter may be nothing but brackets."""
    found: dict[int, int] = {}
    open_: list[int] = []
    for index, piece in enumerate(pieces):
        if piece.text == "(":
            open_.append(index)
        elif piece.text == ")" and open_:
            found[open_.pop()] = index
    return found

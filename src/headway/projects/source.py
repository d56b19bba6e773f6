"""Bytes of YAML 1.2 to a tree that knows its places; built for hostile input.

Events are read one by one and counted, so that depth, size and repetition are refused before they cost
anything; no tag constructs anything, and only the core schema's plain values exist.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceStartEvent,
)
from ruamel.yaml.reader import ReaderError

from headway.projects.problem import Problem, quoted

LARGEST = 256 * 1024
DEEPEST = 24
MOST_NODES = 20_000  # with every alias written out
_INT = re.compile(r"[-+]?[0-9]{1,300}")
_OTHER_INT = re.compile(r"0o[0-7]{1,18}|0x[0-9a-fA-F]{1,15}")
_FLOAT = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_UNUSABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_WORDS = {
    "null": None, "Null": None, "NULL": None, "~": None, "": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip

Value = str | int | float | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A scalar: its value, and its text where the two differ (3.10 is 3.1)."""

    line: int
    column: int
    value: Value
    text: str
    size: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    """A sequence."""

    line: int
    column: int
    items: tuple[Node, ...]
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One key of a mapping, always as text, and its value."""

    key: str
    line: int
    column: int
    node: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """A mapping in the order of the file; a key that stands twice is a problem and kept once."""

    line: int
    column: int
    pairs: tuple[Pair, ...]
    size: int


Node = Leaf | Items | Pairs


class _Stop(Exception):
    """The file cannot be read on from here."""

    def __init__(self, message: str, fix: str, line: int = 1, column: int = 1) -> None:
        super().__init__(message)
        self.message, self.fix, self.line, self.column = message, fix, line, column


def read_tree(data: bytes, *, file: str) -> tuple[Node | None, tuple[Problem, ...]]:
    """Return the tree of a file and what is wrong with its YAML; no tree where it cannot be read on."""
    composer = _Composer(file)
    try:
        return composer.compose(_decode(data)), tuple(composer.problems)
    except _Stop as stop:
        composer.report(stop.line, stop.column, stop.message, stop.fix)
    except ReaderError as error:
        line, column = _place_of(data.decode("utf-8", "replace"), error.position)
        composer.report(line, column, f"the character U+{error.character:04X} may not stand in YAML", "remove it")
    except MarkedYAMLError as error:
        _report_syntax(composer, error)
    except (YAMLError, ValueError, ArithmeticError, LookupError, RecursionError) as error:
        # What the library itself stumbles over, as a code point beyond Unicode in an escape.
        composer.report(1, 1, f"this is not readable YAML: {quoted(str(error))}", "check the quotes and escapes")
    return None, tuple(composer.problems)


def _decode(data: bytes) -> str:
    if len(data) > LARGEST:
        raise _Stop(f"the file has {len(data):,} bytes, at most {LARGEST:,} are read", "move data out of it")
    try:
        return data.removeprefix(b"\xef\xbb\xbf").decode("utf-8")
    except UnicodeDecodeError as error:
        line, column = _place_of(data[: error.start].decode("utf-8", "replace"), None)
        raise _Stop("the file is not UTF-8", "save it as UTF-8", line, column) from None


def _place_of(text: str, position: int | None) -> tuple[int, int]:
    before = text[:position]
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def _report_syntax(composer: _Composer, error: MarkedYAMLError) -> None:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
    said = " ".join(str(part) for part in (error.context, error.problem) if part)
    fix = "look at the indentation, colons and quotes of this line and the one before"
    if "'\\t'" in said:
        fix = "indent with spaces: YAML takes no tabs"
    elif "mapping values are not allowed" in said:
        fix = "put a text that holds a colon in quotes, and check the indentation"
    composer.report(line, column, f"this is not YAML: {said}", fix)


class _Composer:
    """Builds the tree from events."""

    def __init__(self, file: str) -> None:
        self.problems: list[Problem] = []
        self._file = file
        self._anchors: dict[str, Node] = {}
        self._nodes = 0

    def report(self, line: int, column: int, message: str, fix: str) -> None:
        self.problems.append(Problem(file=self._file, line=line, column=column, message=message, fix=fix))

    def compose(self, text: str) -> Node | None:
        events = self._counted(text)
        root: Node | None = None
        documents = 0
        for event in events:
            if isinstance(event, DocumentStartEvent):
                documents += 1
                self._check_document(event, documents)
            elif isinstance(event, NodeEvent):
                root = self._node(event, events)
        return root

    def _check_document(self, event: DocumentStartEvent, number: int) -> None:
        line, column = event.start_mark.line + 1, event.start_mark.column + 1
        if number > 1:
            raise _Stop("the file has a second document", "write one project per file, without `---`", line, column)
        if event.version is not None or event.tags:
            raise _Stop("the file sets directives with `%`", "remove them: this is YAML 1.2", line, column)

    def _counted(self, text: str) -> Iterator[Event]:
        depth = 0
        for event in YAML(typ="safe", pure=True).parse(text):
            if isinstance(event, SequenceStartEvent | MappingStartEvent):
                depth += 1
            elif not isinstance(event, NodeEvent | DocumentStartEvent):
                depth = max(depth - 1, 0)
            if depth > DEEPEST:
                line, column = event.start_mark.line + 1, event.start_mark.column + 1
                raise _Stop(f"values are nested more than {DEEPEST} deep", "nothing here is so deep", line, column)
            yield event

    def _node(self, event: NodeEvent, events: Iterator[Event]) -> Node:
        line, column = event.start_mark.line + 1, event.start_mark.column + 1
        if isinstance(event, AliasEvent):
            node = self._aliased(event.anchor, line, column)
            self._count(node.size, line, column)
            return node
        self._count(1, line, column)
        tag = getattr(event, "ctag", None)
        if tag is not None and str(tag) != "!":
            self.report(
                line, column, f"the tag {quoted(str(tag))} means nothing here", "remove it; use quotes for text"
            )
        node = self._fresh(event, events, line=line, column=column)
        if event.anchor:
            self._anchors[event.anchor] = node
        return node

    def _fresh(self, event: NodeEvent, events: Iterator[Event], *, line: int, column: int) -> Node:
        if isinstance(event, ScalarEvent):
            return self._leaf(event, line, column)
        if isinstance(event, SequenceStartEvent):
            items = tuple(self._children(events))
            return Items(line=line, column=column, items=items, size=1 + sum(item.size for item in items))
        return self._pairs(events, line, column)

    def _aliased(self, anchor: str, line: int, column: int) -> Node:
        if anchor not in self._anchors:
            raise _Stop(
                f"the alias {quoted('*' + anchor)} names nothing that stands complete above it",
                "write the value out",
                line,
                column,
            )
        return self._anchors[anchor]

    def _count(self, nodes: int, line: int, column: int) -> None:
        self._nodes += nodes
        if self._nodes > MOST_NODES:
            raise _Stop(
                f"the file has more than {MOST_NODES:,} values, aliases written out", "make it smaller", line, column
            )

    def _children(self, events: Iterator[Event]) -> Iterator[Node]:
        for event in events:
            if not isinstance(event, NodeEvent):
                return
            yield self._node(event, events)

    def _pairs(self, events: Iterator[Event], line: int, column: int) -> Pairs:
        pairs: dict[str, Pair] = {}
        size = 1
        for event in events:
            if not isinstance(event, NodeEvent):
                break
            key = self._node(event, events)
            node = next(self._children(events))
            size += key.size + node.size
            at = (event.start_mark.line + 1, event.start_mark.column + 1)
            if not isinstance(key, Leaf):
                self.report(*at, "a key must be a plain word", "do not use a list or mapping as a key")
            elif key.text in pairs:
                earlier = pairs[key.text].line
                self.report(
                    *at, f"the key {quoted(key.text)} stands twice, first in line {earlier}", "keep one of them"
                )
            else:
                pairs[key.text] = Pair(key=key.text, line=at[0], column=at[1], node=node)
        return Pairs(line=line, column=column, pairs=tuple(pairs.values()), size=size)

    def _leaf(self, event: ScalarEvent, line: int, column: int) -> Leaf:
        text: str = event.value
        is_plain = event.style in (None, "") and getattr(event, "ctag", None) is None
        value = plain_value(text) if is_plain else text
        if _UNUSABLE.search(text):
            self.report(line, column, f"the text {quoted(text)} holds a control character", "remove it")
        return Leaf(line=line, column=column, value=value, text=text)


def plain_value(text: str) -> Value:
    """Return what an unquoted scalar is by YAML 1.2's core schema: `no`, `on` and `1:30` stay text."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text)
    if _OTHER_INT.fullmatch(text):
        return int(text[2:], 8 if text[1] == "o" else 16)
    if len(text) <= 100 and _FLOAT.fullmatch(text) and not text.strip("+-").isdigit():
        return float(
            text.replace(".inf", "inf")
            .replace(".Inf", "inf")
            .replace(".INF", "inf")
            .replace(".n", "n")
            .replace(".N", "N")
        )
    return text

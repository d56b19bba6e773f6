"""A report before it is Markdown or terminal text: raw words in a shape; escaping is the writer's work alone."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Some words in one style; the text is raw and may be hostile."""

    text: str
    code: bool = False
    strong: bool = False
    url: str = ""


Spans = tuple[Span, ...]


def say(*parts: str | Span) -> Spans:
    """Words and styled words in a row."""
    return tuple(Span(text=part) if isinstance(part, str) else part for part in parts if part)


def code(text: str, *, strong: bool = False) -> Span:
    """A name or a command that can be copied."""
    return Span(text=text, code=True, strong=strong)


def strong(text: str) -> Span:
    """What the eye shall find first."""
    return Span(text=text, strong=True)


def link(text: str, url: str) -> Span:
    """Words that lead somewhere; without a usable address they stay words."""
    return Span(text=text, url=url)


def joined(parts: list[Spans], between: str) -> Spans:
    """Several runs of words with the same text between each two."""
    result: list[Span] = []
    for part in parts:
        if not part:
            continue
        if result:
            result.append(Span(text=between))
        result.extend(part)
    return tuple(result)


@dataclass(frozen=True, slots=True, kw_only=True)
class Paragraph:
    """One line of words."""

    spans: Spans


@dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    """A list of lines."""

    items: tuple[Spans, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Columns with `l` or `r` for their side; every row has as many cells as the head."""

    head: tuple[Spans, ...]
    sides: str
    rows: tuple[tuple[Spans, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fence:
    """Lines of a log, raw and hostile."""

    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagram:
    """Mermaid text made by `charts`, which lets nothing foreign through; the terminal leaves it out."""

    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """Blocks behind a title that a reader opens."""

    title: str
    blocks: tuple[Block, ...]


Block = Paragraph | Items | Table | Fence | Diagram | Fold


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A named part: what a template places, and what is left out as a whole when the report is too long."""

    name: str
    title: str  # what the reader is told when it is left out
    blocks: tuple[Block, ...]
    drop: int = 0  # the highest goes first; 0 = never


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """Everything that one report says."""

    headline: Spans
    sections: tuple[Section, ...]

"""A document as Markdown: the one place where foreign words become Markdown, so no part can forget to escape."""

from __future__ import annotations

from collections.abc import Iterable

from headway.reports import escape
from headway.reports.document import Block, Diagram, Fence, Fold, Items, Paragraph, Section, Span, Spans, Table


def write_section(section: Section) -> str:
    """One section, its blocks separated by empty lines."""
    return write_blocks(section.blocks)


def write_blocks(blocks: Iterable[Block]) -> str:
    """Blocks in their order."""
    return "\n\n".join(text for block in blocks if (text := _block(block)))


def write_spans(spans: Spans, *, in_table: bool = False, limit: int = escape.LIMIT) -> str:
    """Words in one line."""
    return "".join(_span(span, in_table=in_table, limit=limit) for span in spans)


def _block(block: Block) -> str:
    if isinstance(block, Paragraph):
        return write_spans(block.spans, limit=600)
    if isinstance(block, Items):
        return "\n".join(f"- {write_spans(item, limit=400)}" for item in block.items)
    if isinstance(block, Table):
        return _table(block)
    if isinstance(block, Fence):
        return escape.fence(block.lines)
    if isinstance(block, Diagram):
        return f"```mermaid\n{block.source}\n```"
    return _fold(block)


def _fold(fold: Fold) -> str:
    # Without the empty line after the summary, GitHub shows tables and fences as raw text.
    title = escape.inline(fold.title)
    return f"<details><summary>{title}</summary>\n\n{write_blocks(fold.blocks)}\n\n</details>"


def _table(table: Table) -> str:
    marks = {"l": ":--", "r": "--:"}
    lines = [_row(table.head), f"|{'|'.join(marks[side] for side in table.sides)}|"]
    lines += [_row(row) for row in table.rows]
    return "\n".join(lines)


def _row(cells: Iterable[Spans]) -> str:
    return f"| {' | '.join(write_spans(cell, in_table=True).strip() for cell in cells)} |"


def _span(span: Span, *, in_table: bool, limit: int) -> str:
    lead, core, trail = _trimmed(span.text)
    if not core:
        return " " if span.text else ""
    target = escape.url(span.url)
    if span.code:
        text = escape.code_span(core, limit=limit, in_table=in_table)
    else:
        text = escape.inline(core, limit=limit, in_link=bool(target))
    if target:
        text = f"[{text}]({target})"
    if span.strong and text:
        text = f"**{text}**"
    return f"{lead}{text}{trail}"


def _trimmed(text: str) -> tuple[str, str, str]:
    """Spaces at both ends, which join a span to its neighbours, and what stands between."""
    core = text.strip()
    if not core:
        return "", "", ""
    return (" " if text[0].isspace() else ""), core, (" " if text[-1].isspace() else "")

"""The same report for the terminal, from the same document."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import replace

from rich.console import Console
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from headway.reports import escape
from headway.reports.document import Block, Fence, Fold, Items, Paragraph, Spans, Table
from headway.reports.model import ReportView
from headway.reports.render import redacted
from headway.reports.sections import compose

_LIMIT = 600


FOLDED = ("charts", "details")
"""Sections that a terminal leaves to `full`."""


def render_terminal(
    view: ReportView,
    *,
    width: int = 100,
    color: bool = False,
    full: bool = False,
    secrets: Iterable[str] = (),
) -> str:
    """The report as lines of at most `width` columns; colours only where the caller has a terminal for them."""
    hidden = tuple(secrets)
    if hidden:
        view = redacted(view, hidden)
    document = compose(view)
    console = Console(
        file=io.StringIO(),
        width=max(40, min(width, 400)),
        force_terminal=color,
        color_system="standard" if color else None,
        highlight=False,
        emoji=False,
        legacy_windows=False,
        record=False,
    )
    console.print(_text(document.headline, style="bold"))
    for section in document.sections:
        for block in section.blocks if full or section.name not in FOLDED else ():
            _print(console, _typed(block, view.change) if section.name == "next_step" else block)
    if view.url:
        console.print()
        console.print(Text(escape.for_terminal(view.url, limit=2000), style="dim"), soft_wrap=True)
    return "\n".join(line.rstrip() for line in _output(console).splitlines()) + "\n"


def _typed(block: Block, change: int | None) -> Block:
    """What to do next, as it is typed here: a comment on a change of this server is given from the terminal too."""
    if change is None or not isinstance(block, Paragraph):
        return block
    spans = tuple(replace(each, text=_as_typed(each.text, change)) if each.code else each for each in block.spans)
    return replace(block, spans=spans)


def _as_typed(text: str, change: int) -> str:
    if not text.startswith("/"):
        return text
    if text.startswith("/override "):
        return f"headway override {change} {text.removeprefix('/override ')}"
    return f'headway change comment {change} "{text}"' if " " in text else f"headway change comment {change} {text}"


def _output(console: Console) -> str:
    file = console.file
    return file.getvalue() if isinstance(file, io.StringIO) else ""


def _print(console: Console, block: Block, *, indent: int = 0) -> None:
    if isinstance(block, Paragraph):
        console.print()
        console.print(Padding(_text(block.spans), (0, 0, 0, indent)))
    elif isinstance(block, Items):
        console.print()
        for item in block.items:
            console.print(Padding(Text.assemble("• ", _text(item)), (0, 0, 0, indent)))
    elif isinstance(block, Table):
        console.print()
        console.print(Padding(_table(block), (0, 0, 0, indent)))
    elif isinstance(block, Fence):
        console.print()
        for line in block.lines:
            # Wrapped by hand: what is left of a long line is still a line of the log.
            for part in Text(escape.terminal_line(line)).wrap(console, console.width - indent - 2) or (Text(),):
                console.print(Padding(Text.assemble("│ ", part, style="dim"), (0, 0, 0, indent)))
    elif isinstance(block, Fold):
        _fold(console, block, indent=indent)


def _fold(console: Console, fold: Fold, *, indent: int) -> None:
    """Nothing folds in a terminal: what is more than a chart is shown below its title."""
    shown = [block for block in fold.blocks if isinstance(block, Paragraph | Items | Table | Fence | Fold)]
    if not shown:
        return
    console.print()
    console.print(Padding(Text(escape.for_terminal(fold.title), style="bold"), (0, 0, 0, indent)))
    for block in shown:
        _print(console, block, indent=indent + 2)


def _table(table: Table) -> RichTable:
    grid = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for head, side in zip(table.head, table.sides, strict=True):
        grid.add_column(_text(head), justify="right" if side == "r" else "left", overflow="fold")
    for row in table.rows:
        grid.add_row(*(_text(cell) for cell in row))
    return grid


def _text(spans: Spans, *, style: str = "") -> Text:
    """Styled words; `Text` takes no markup, so brackets in foreign words stay brackets."""
    text = Text(style=style)
    for span in spans:
        lead = " " if span.text[:1].isspace() else ""
        trail = " " if span.text[-1:].isspace() and span.text.strip() else ""
        words = escape.for_terminal(span.text, limit=_LIMIT)
        text.append(f"{lead}{words}{trail}", style=_style(strong=span.strong, is_code=span.code))
    return text


def _style(*, strong: bool, is_code: bool) -> str:
    return " ".join(name for name, wanted in (("bold", strong), ("cyan", is_code)) if wanted)

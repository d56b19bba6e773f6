"""What people write, as HTML: Markdown without HTML, images or foreign style."""

from __future__ import annotations

import re

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from headway.web.unseen import visible

_HIDDEN = re.compile(r"\A\s*<!--.*?-->\s*", re.DOTALL)
_SIDE = re.compile(r"text-align:(left|right|center)")


def _parser() -> MarkdownIt:
    # `html` off: what looks like HTML is shown as text. Links to anything but http, https and mailto are refused.
    return MarkdownIt("commonmark", {"html": False, "linkify": False}).enable("table").disable("image")


_PARSER = _parser()


def to_html(text: str) -> Markup:
    """Return a comment as HTML; the hidden line that Headway finds its own comments by is left out."""
    tokens = _PARSER.parse(visible(_HIDDEN.sub("", text[:70_000])))
    _tidy(tokens)
    # The renderer escapes every text; `html` is off, so nothing foreign passes as markup.
    return Markup(_PARSER.renderer.render(tokens, _PARSER.options, {}))  # noqa: S704  # see above


def _tidy(tokens: list[Token]) -> None:
    for token in tokens:
        # The content security policy forbids style attributes: a class says the same.
        style = _SIDE.search(str(token.attrGet("style") or ""))
        if style is not None:
            token.attrs.pop("style")
            token.attrSet("class", f"side-{style[1]}")
        if token.type == "link_open":
            token.attrSet("rel", "noreferrer nofollow")
            if not _may_link(str(token.attrGet("href") or "")):
                token.attrSet("href", "#")
        _tidy(token.children or [])


def _may_link(target: str) -> bool:
    return bool(re.match(r"https?://|mailto:|#|/(?![/\\])", target))

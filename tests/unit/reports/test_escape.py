import base64
import json
import re
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from headway.logs import HIDDEN
from headway.reports import escape

MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def _shown(markdown: str) -> tuple[str, set[str]]:
    """The text that a reader sees, and the kinds of markup in it."""
    (paragraph,) = [token for token in MARKDOWN.parse(markdown) if token.type == "inline"]
    children = paragraph.children or []
    return "".join(child.content for child in children), {child.type for child in children}


@pytest.mark.parametrize(
    ("raw", "visible"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]8;;http://evil\x07click\x1b]8;;\x07", "click"),
        ("\x1b]0;title\x1b\\rest", "rest"),
        ("\x9b2Jwiped", "wiped"),
        ("\x1b(Bplain", "plain"),
        ("a\x00b\x08c\x7fd", "abcd"),
        ("line\nbreak\r\ttab", "line break tab"),
        ("\u202egnp.exe\u202c", "gnp.exe"),
        ("\u2066hidden\u2069", "hidden"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("\ud800", ""),
        ("  ends  ", "ends"),
        ("Z" + "\u0300" * 50, "Z" + "\u0300" * 3),
        ("größer ≥ 5 €, 日本", "größer ≥ 5 €, 日本"),
    ],
)
def test_what_moves_or_hides_is_gone(raw: str, visible: str) -> None:
    assert escape.clean(raw) == visible


def test_long_text_ends_in_an_ellipsis() -> None:
    assert escape.clean("x" * 10_000_000, limit=10) == "x" * 9 + "…"


HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "</details><h1>no",
    "<!-- headway:report project=churn -->",
    "![x](http://evil/x.png)",
    "[click](http://evil)",
    "[click][ref]",
    "`code` ``more``",
    "**bold** __bold__ *em* _em_",
    "~~gone~~",
    "a | b | c",
    "\\| \\` \\\\",
    "# heading",
    "- item",
    "1. item",
    "> quote",
    "$x^2$ $$y$$",
    "&lt;b&gt; &amp; &#64;",
    "@maria @org/team",
    "#123 GH-123 org/repo#5",
    "http://evil.example www.evil.example mailto:a@b.c",
    "9f3c2ab1d5e0c7f2a4b68d3091e7c5f4a2b1d0e9",
    "{{headline}}",
    "---",
    "===",
    "+",
]


@pytest.mark.parametrize("raw", HOSTILE)
def test_hostile_words_stay_words(raw: str) -> None:
    """Rule 23: no mention, reference, markup or hidden comment of foreign making."""
    text, kinds = _shown(escape.inline(raw))
    assert kinds <= {"text", "text_special"}
    assert text.replace("\u200b", "") == raw


@pytest.mark.parametrize("raw", ["@maria", "#123", "GH-123", "http://evil.example", "www.evil.example", "a@b.c"])
def test_what_forges_make_links_of_is_broken_invisibly(raw: str) -> None:
    text, _ = _shown(escape.inline(raw))
    assert raw not in text
    assert "\u200b" in text


def test_a_reference_inside_a_link_is_left_alone() -> None:
    assert escape.inline("Job #412", in_link=True) == "Job #412"


@given(st.text())
def test_any_text_is_only_text(raw: str) -> None:
    markdown = escape.inline(raw)
    assert "\n" not in markdown
    if not markdown:
        return
    text, kinds = _shown(markdown)
    assert kinds <= {"text", "text_special"}
    assert text.replace("\u200b", "") == escape.clean(raw)


@given(st.text())
def test_any_text_is_one_cell_of_a_table(raw: str) -> None:
    for cell in (escape.inline(raw), escape.code_span(raw, in_table=True)):
        tokens = MARKDOWN.parse(f"| a | b |\n|:--|:--|\n| {cell} | end |\n")
        cells = [tokens[i + 1].content for i, token in enumerate(tokens) if token.type == "td_open"]
        assert len(cells) == 2
        assert cells[1] == "end"


@given(st.text(alphabet="`a |\\<!-@") | st.text())
def test_any_text_is_one_code_span(raw: str) -> None:
    tokens = MARKDOWN.parse(f"x {escape.code_span(raw)} y")
    kinds = [child.type for child in tokens[1].children or []]
    assert kinds == ["text", "code_inline", "text"] or not escape.clean(raw)
    assert "<!--" not in escape.code_span(raw)


@given(st.lists(st.text(alphabet="`~a \n<>|") | st.text(), max_size=5))
def test_any_lines_are_one_fence(lines: list[str]) -> None:
    tokens = MARKDOWN.parse(f"before\n\n{escape.fence(lines)}\n\nafter")
    assert [token.type for token in tokens if token.level == 0] == [
        "paragraph_open",
        "paragraph_close",
        "fence",
        "paragraph_open",
        "paragraph_close",
    ]


def test_a_fence_keeps_the_indentation_of_a_traceback() -> None:
    text = escape.fence(["Traceback:", '  File "x.py"', "\tboom\x1b[0m", "````"])
    assert text == '`````text\nTraceback:\n  File "x.py"\n    boom\n````\n`````'


def test_long_lines_of_a_log_are_cut() -> None:
    assert len(escape.fence(["x" * 100_000])) < 500


@pytest.mark.parametrize(
    ("raw", "target"),
    [
        ("https://headway.example/r/412?a=b#c", "https://headway.example/r/412?a=b#c"),
        ("/jobs/412", "/jobs/412"),
        ("https://h/a(b)|<c>", "https://h/a%28b%29%7C%3Cc%3E"),
        ("javascript:alert(1)", ""),
        ("data:text/html,x", ""),
        ("//evil.example", ""),
        ("https://a b", ""),
        ("https://a\n", ""),
        ("", ""),
        ("https://" + "x" * 3000, ""),
        ("https://h/\u202e", ""),
    ],
)
def test_only_addresses_of_the_web_are_links(raw: str, target: str) -> None:
    assert escape.url(raw) == target


SECRET = "p@ss/w|rd+=`x`_42"


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        quote(SECRET, safe=""),
        quote_plus(SECRET),
        quote(SECRET),
        json.dumps({"k": SECRET}),
        base64.b64encode(SECRET.encode()).decode(),
        base64.urlsafe_b64encode(SECRET.encode()).decode(),
        base64.b64encode(b"user:" + SECRET.encode()).decode(),
        base64.b64encode(b"us:" + SECRET.encode() + b"tail").decode(),
        base64.b64encode(b"u:" + SECRET.encode() + b"t").decode(),
        SECRET.encode().hex(),
        f"postgres://u:{SECRET}@db",
    ],
)
def test_a_secret_is_hidden_in_every_form(form: str) -> None:
    hidden = escape.redact(f"before {form} after", [SECRET])
    assert HIDDEN in hidden
    assert form not in hidden
    assert SECRET not in hidden
    assert hidden.startswith("before ")
    assert hidden.endswith(" after")


@given(st.binary(min_size=0, max_size=7), st.text(min_size=8, max_size=30), st.binary(max_size=7))
def test_base64_around_a_secret_does_not_give_it_back(before: bytes, secret: str, after: bytes) -> None:
    encoded = base64.b64encode(before + secret.encode() + after).decode()
    hidden = escape.redact(encoded, [secret])
    left = re.sub(r"[^A-Za-z0-9+/]", "", hidden.replace(HIDDEN, ""))
    # What is left holds at most the bits at both ends, which belong to the neighbours as well.
    assert len(left) <= (len(before) + len(after)) * 4 / 3 + 8


def test_a_secret_of_several_lines_is_hidden_line_by_line() -> None:
    key = "-----BEGIN KEY-----\nMIIBVQIBADANBg\nkqhkiG9w0BAQEF\n-----END KEY-----"
    hidden = escape.redact("log: kqhkiG9w0BAQEF and MIIBVQIBADANBg", [key])
    assert hidden == "log: *** and ***"


@pytest.mark.parametrize("secrets", [[], [""], ["abc"]])
def test_nothing_and_almost_nothing_hide_nothing(secrets: list[str]) -> None:
    assert escape.redact("abc", secrets) == "abc"


def test_the_longer_secret_goes_first() -> None:
    assert escape.redact("token-12345", ["token", "token-12345"]) == "***"

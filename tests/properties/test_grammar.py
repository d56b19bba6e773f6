from __future__ import annotations

import string

from hypothesis import example, given, settings
from hypothesis import strategies as st

from headway.commands.grammar import MOST_COMMANDS, format_command, parse_comment, parse_words
from headway.commands.model import Answer, ParsedCommand, Verb
from headway.commands.usage import USAGE

PIECES = st.sampled_from(
    [
        "/train",
        "/tain",
        "/override c",
        "/deploy",
        "/run-all",
        "/help",
        "/",
        " ",
        "\t",
        "\n",
        "\r\n",
        "\r",
        "    ",
        "```",
        "````",
        "~~~",
        ">",
        "> ",
        "- ",
        "1. ",
        "<!--",
        "-->",
        "--",
        "<pre>",
        "</pre>",
        "<?",
        "?>",
        "`",
        '"',
        "'",
        "\\",
        "=",
        "lr=0.2",
        "@abcdef1",
        "@",
        "--project",
        "--to",
        "--dry-run",
        "flights",
        "#",
        "please",
        "\u200b",
        "\u202e",
        "\u2028",
        "\x00",
        "\x85",
        "\ufeff",
        "\u00a0",
        "\ud800",
        "\u00e9",
        "\U0001f680",
        "\u017f",
        "\u212a",
        "\u0130",
    ]
)
TEXTS = st.one_of(st.text(max_size=300), st.lists(PIECES, max_size=60).map("".join))
ALIASES = {"run-all": "train --project flights lr=1", "bad": "no verb"}

NAMES = st.text(alphabet=string.ascii_letters + string.digits + "._-", min_size=1, max_size=20).filter(
    lambda name: name[0].isalnum()
)
# What a line can carry: printable, no separators but the plain blank, nothing that Markdown would hide.
VALUES = st.text(
    alphabet=st.characters(exclude_categories=["C", "Zl", "Zp", "Zs"], include_characters=" \"'\\=@-"), max_size=40
).filter(lambda text: not any(mark in text for mark in ("<!--", "<?", "<![CDATA[")))
RUNS = st.from_regex(r"[0-9]{1,9}|v[0-9]{1,3}", fullmatch=True)


@st.composite
def commands(draw: st.DrawFn) -> ParsedCommand:
    usage = USAGE[draw(st.sampled_from(list(Verb)))]
    positional = {
        "RUN": RUNS,
        "ENVIRONMENT": st.from_regex(r"[a-z0-9][a-z0-9._-]{0,20}", fullmatch=True),
        "CHECK": VALUES.filter(bool),
        "ID": NAMES,
        "VERB": st.sampled_from([verb.value for verb in Verb]),
    }.get(usage.positional)
    has_argument = positional is not None and (usage.is_needed or draw(st.booleans()))
    return ParsedCommand(
        verb=usage.verb,
        arguments=(draw(positional),) if positional is not None and has_argument else (),
        params=draw(st.dictionaries(NAMES, VALUES, max_size=3)) if usage.has_params else {},
        sha=draw(st.none() | st.text("0123456789abcdef", min_size=7, max_size=64)) if usage.has_sha else None,
        project=draw(st.none() | NAMES) if usage.has_project else None,
        environment=draw(st.none() | NAMES) if usage.has_environment else None,
        dry_run=draw(st.booleans()) if usage.has_dry_run else False,
        reason=draw(VALUES.map(str.strip).filter(bool)) if usage.has_reason else "",
    )


@settings(deadline=None)
@given(commands())
def test_what_is_written_out_parses_back(command: ParsedCommand) -> None:
    assert parse_comment(format_command(command)) == (command,)


@settings(deadline=None)
@given(TEXTS)
@example("/train \ud800")
@example("/override c -- -- -- x")
def test_any_text_is_parsed_without_an_error(text: str) -> None:
    found = parse_comment(text, ALIASES)
    assert len(found) <= MOST_COMMANDS + 1
    lines = [each.line for each in found]
    assert lines == sorted(lines)
    for each in found:
        if isinstance(each, ParsedCommand):
            (again,) = parse_comment(format_command(each))
            assert isinstance(again, ParsedCommand)
            assert (again.verb, again.arguments, again.params, again.reason) == (
                each.verb,
                each.arguments,
                each.params,
                each.reason,
            )
        else:
            assert parse_comment(each.text, ALIASES) == (), "an answer of ours asks for nothing"
            assert "\n" not in each.text


@settings(max_examples=20, deadline=None)
@given(st.lists(PIECES, min_size=1, max_size=8).map("".join))
def test_a_whole_comment_of_hostile_pieces_ends(piece: str) -> None:
    parse_comment((piece * (65_536 // len(piece) + 1))[:65_536], ALIASES)


@settings(deadline=None)
@given(TEXTS, st.sampled_from(["```\n{}\n```", "> {}", "    {}", "<!-- {} -->", "<pre>\n{}\n</pre>"]))
def test_a_command_inside_a_wrapping_never_runs(noise: str, wrapping: str) -> None:
    line = noise.replace("\n", " ").replace("\r", " ").replace("`", "").replace(">", "")
    assert parse_comment(wrapping.format("/train " + line)) == ()


@settings(deadline=None)
@given(st.sampled_from(list(Verb)), TEXTS)
def test_the_rest_of_a_line_is_a_command_or_an_answer(verb: Verb, rest: str) -> None:
    assert isinstance(parse_words(verb, rest), ParsedCommand | Answer)


@settings(deadline=None)
@given(st.text(alphabet=string.ascii_letters + " .,", min_size=1, max_size=60))
def test_prose_after_a_verb_is_never_taken_for_arguments(prose: str) -> None:
    for found in parse_comment("/train " + prose):
        if prose.strip():
            assert isinstance(found, Answer)

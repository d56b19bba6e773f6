from __future__ import annotations

import time

import pytest

from headway.commands.grammar import (
    LONGEST_LINE,
    MOST_COMMANDS,
    alias_problem,
    format_command,
    parse_comment,
    parse_words,
    shown,
)
from headway.commands.model import Answer, ParsedCommand, Verb

SHA = "9f3c2ab77ac01e1b90fd2c04d1e7e1f77b0aa11b"


def only(text: str, aliases: dict[str, str] | None = None) -> ParsedCommand:
    (found,) = parse_comment(text, aliases)
    assert isinstance(found, ParsedCommand), found
    return found


def answered(text: str, aliases: dict[str, str] | None = None) -> str:
    (found,) = parse_comment(text, aliases)
    assert isinstance(found, Answer), found
    return found.text


def test_a_full_line_becomes_one_typed_command() -> None:
    text = f'/train lr=0.2 note="two words" name=\'x "y"\' @{SHA.upper()} --project flights --dry-run'
    assert only(text) == ParsedCommand(
        verb=Verb.TRAIN,
        params={"lr": "0.2", "note": "two words", "name": 'x "y"'},
        sha=SHA,
        project="flights",
        dry_run=True,
        line=1,
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/plan", ParsedCommand(verb=Verb.PLAN)),
        ("/plan lr=1", ParsedCommand(verb=Verb.PLAN, params={"lr": "1"})),
        ("/tune max_trials=20", ParsedCommand(verb=Verb.TUNE, params={"max_trials": "20"})),
        ("/deploy", ParsedCommand(verb=Verb.DEPLOY)),
        ("/deploy #412 --to staging", ParsedCommand(verb=Verb.DEPLOY, arguments=("412",), environment="staging")),
        ("/deploy v8 --to=staging", ParsedCommand(verb=Verb.DEPLOY, arguments=("v8",), environment="staging")),
        ("/approve", ParsedCommand(verb=Verb.APPROVE)),
        (f"/approve @{SHA}", ParsedCommand(verb=Verb.APPROVE, sha=SHA)),
        ("/rollback", ParsedCommand(verb=Verb.ROLLBACK)),
        ("/rollback production", ParsedCommand(verb=Verb.ROLLBACK, arguments=("production",))),
        ("/stop", ParsedCommand(verb=Verb.STOP)),
        ("/stop 01J8ZQ4T9GKX5V2N7M3B6C1D0E", ParsedCommand(verb=Verb.STOP, arguments=("01J8ZQ4T9GKX5V2N7M3B6C1D0E",))),
        ("/retry 12 @abcdef1", ParsedCommand(verb=Verb.RETRY, arguments=("12",), sha="abcdef1")),
        ("/why req-1f:2", ParsedCommand(verb=Verb.WHY, arguments=("req-1f:2",))),
        ("/help", ParsedCommand(verb=Verb.HELP)),
        ("/help /Train", ParsedCommand(verb=Verb.HELP, arguments=("train",))),
        ("/TRAIN", ParsedCommand(verb=Verb.TRAIN)),
        ("  /train  \t ", ParsedCommand(verb=Verb.TRAIN)),
        ("/train x=", ParsedCommand(verb=Verb.TRAIN, params={"x": ""})),
        ("/train x=a=b", ParsedCommand(verb=Verb.TRAIN, params={"x": "a=b"})),
        (r'/train x="a \"b\" \\ c\n"', ParsedCommand(verb=Verb.TRAIN, params={"x": r'a "b" \ c\n'})),
    ],
)
def test_each_verb_takes_its_forms(text: str, expected: ParsedCommand) -> None:
    assert only(text) == expected


@pytest.mark.parametrize(
    ("text", "check", "reason"),
    [
        ("/override val_auc known to be late", "val_auc", "known to be late"),
        ("/override country=BR it's the holiday", "country=BR", "it's the holiday"),
        ("/override val_auc>=0.85 fine", "val_auc>=0.85", "fine"),
        ('/override "val_auc by origin" late @data, see #12', "val_auc by origin", "late @data, see #12"),
        ("/override c -- --project is not read here", "c", "--project is not read here"),
        ("/override c lr=3 was tried", "c", "lr=3 was tried"),
    ],
)
def test_an_override_keeps_the_rest_of_its_line_as_the_reason(text: str, check: str, reason: str) -> None:
    found = only(text)
    assert (found.arguments, found.reason, found.params) == ((check,), reason, {})


@pytest.mark.parametrize("text", ["/override --project a @abcdef1 c why", "/override c --project a @abcdef1 why"])
def test_an_override_takes_options_before_its_reason(text: str) -> None:
    found = only(text)
    assert (found.arguments, found.project, found.sha, found.reason) == (("c",), "a", "abcdef1", "why")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("/train please", "does not know `please`"),
        ("/train lr=0.2 and then deploy it", "does not know `and`"),
        ("/train the model, it's broken", "does not know `the`"),
        ("/train it's broken", "quotes enclose a whole value"),
        ("/train lr=0.2 lr=0.3", "`lr` is given twice"),
        ("/train lr = 0.2", "does not know `lr`"),
        ("/train =0.2", "cannot be read"),
        ("/train -lr=0.2", "`-lr` is not a parameter's name"),
        ("/train @maria", "`@maria` is not a commit"),
        ("/train @abc", "is not a commit"),
        ("/train @" + "a" * 65, "is not a commit"),
        ("/train @abcdef1 @abcdef2", "A commit is given twice"),
        ("/train --projct flights", "Did you mean `--project`?"),
        ("/train --project", "needs a name after it"),
        ("/train --project a --project b", "given twice"),
        ("/train --project ../etc", "is not a name"),
        ("/train --project lr=2", "needs a name after it"),
        ("/train --dry-run=no", "takes no value"),
        ("/train --to production", "no option `--to`"),
        ("/stop it please", "`it` is not a run"),
        ("/stop 12 13", "one word too many"),
        ("/stop lr=1", "takes no parameters"),
        ("/rollback @abcdef1", "takes no commit"),
        ("/deploy 412 canary 10%", "`canary` is one word too many"),
        ("/approve thanks!", "`thanks!` is not a run"),
        ("/override", "needs the check it is about"),
        ("/override val_auc", "needs a reason"),
        ("/override val_auc " + "x" * 501, "more than 500 characters"),
        ("/help trian", "Did you mean `train`?"),
        ("/train x=" + "y" * 501, "more than 500 characters"),
        ("/train " + "x" * LONGEST_LINE, f"more than {LONGEST_LINE} characters"),
        ('/train x="open', "quotes enclose a whole value"),
        ("/train \u202elr=1", "invisible character U+202E"),
        ("/train a\x1bb", "invisible character U+001B"),
        ("/train a\u2028/deploy", "invisible character U+2028"),
    ],
)
def test_a_line_that_is_half_right_is_answered_with_the_form(text: str, says: str) -> None:
    """Rule 8: a line parses whole or is answered; prose never becomes an argument."""
    answer = answered(text)
    assert says in answer
    assert "Usage: `/" in answer


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("/tain", "train"),
        ("/trian lr=1", "train"),
        ("/train.", "train"),
        ("/Deploy!", "deploy"),
        ("/rolback", "rollback"),
    ],
)
def test_a_slip_of_the_finger_gets_the_word_that_was_meant(text: str, meant: str) -> None:
    assert f"Did you mean `/{meant}`?" in answered(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "train",
        "please /train",
        "/usr/bin/train is a path",
        "/train/data holds the files",
        "/train.py is the script",
        "//train",
        "/ train",
        "/lgtm",
        "/home",
        "/tmp",
        "/etc/passwd",
        "- /train",
        "1. /train",
        "# /train",
        "| /train |",
        "`/train`",
        "**/train**",
        "\\/train",
        "http://x/train",
        "/\u0442rain",  # a Cyrillic letter
        "\uff0ftrain",  # a fullwidth solidus
        "/tra\nin",
    ],
)
def test_prose_and_paths_are_ignored(text: str) -> None:
    assert parse_comment(text) == ()


def test_several_commands_keep_their_order_and_lines() -> None:
    found = parse_comment("Looks good.\r\n\r\n/train lr=1\r\nand then\r\n/deploy --to staging\r\n")
    assert [(each.verb, each.line) for each in found if isinstance(each, ParsedCommand)] == [
        (Verb.TRAIN, 3),
        (Verb.DEPLOY, 5),
    ]


def test_at_most_five_commands_are_read_and_the_rest_is_answered() -> None:
    """Rule 8: the count is capped."""
    found = parse_comment("/train\n" * 9)
    assert len(found) == MOST_COMMANDS + 1
    assert isinstance(found[-1], Answer)
    assert found[-1].line == MOST_COMMANDS + 1


def test_answers_hold_foreign_words_harmlessly() -> None:
    answer = answered("/train `@everyone`<img>")
    assert "`'@everyone'<img>`" in answer
    assert shown("a" * 100) == "`" + "a" * 60 + "…`"
    assert shown("\n`\x1b[31m") == "`?'?[31m`"


def test_an_alias_stands_for_a_verb_and_its_options() -> None:
    aliases = {"run-full-test": "train --project flights lr=0.1"}
    assert only("/run-full-test", aliases) == only("/train --project flights lr=0.1")
    assert only("/Run-Full-Test lr=0.2 @abcdef1", aliases) == only("/train --project flights lr=0.2 @abcdef1")
    assert "stands for `/train lr=0.1 --project flights`" in answered("/run-full-test please", aliases)
    assert "Did you mean `/run-full-test`?" in answered("/run-ful-test", aliases)


def test_an_alias_neither_shadows_a_verb_nor_leads_to_another_alias() -> None:
    aliases = {"train": "deploy", "one": "two", "two": "train"}
    assert only("/train", aliases).verb is Verb.TRAIN
    assert only("/two", aliases).verb is Verb.TRAIN
    assert "does not begin with a verb" in answered("/one", aliases)


@pytest.mark.parametrize(
    ("alias", "text", "says"),
    [
        ("train", "plan", "already"),
        ("Foo", "train", "small letters"),
        ("foo!", "train", "small letters"),
        ("", "train", "small letters"),
        ("foo", "bar", "does not begin with a verb"),
        ("foo", "", "does not begin with a verb"),
        ("foo", "train please", "does not know `please`"),
        ("foo", "override check because", "written out"),
        ("foo", "train\n/deploy", "does not begin with a verb|invisible character"),
    ],
)
def test_a_bad_alias_is_refused_with_its_reason(alias: str, text: str, says: str) -> None:
    problem = alias_problem(alias, text)
    assert problem is not None
    assert any(part in problem for part in says.split("|"))


@pytest.mark.parametrize("text", ["train", "/train", "train --project flights lr=0.1", "deploy --to staging"])
def test_a_good_alias_is_taken(text: str) -> None:
    assert alias_problem("run-full-test", text) is None


@pytest.mark.parametrize(
    "command",
    [
        ParsedCommand(verb=Verb.TRAIN, params={"x": "--dry-run", "y": "@a", "z": "", "w": 'a"b\\'}, dry_run=True),
        ParsedCommand(verb=Verb.OVERRIDE, arguments=("country=BR",), reason="@abcdef1 was bad", project="p", sha=SHA),
        ParsedCommand(verb=Verb.OVERRIDE, arguments=("--x y",), reason="-- so"),
        ParsedCommand(verb=Verb.DEPLOY, arguments=("412",), environment="staging"),
    ],
)
def test_a_command_written_out_parses_to_itself(command: ParsedCommand) -> None:
    assert only(format_command(command)) == command


def test_the_terminal_may_parse_words_alone() -> None:
    assert parse_words(Verb.TRAIN, "lr=1") == ParsedCommand(verb=Verb.TRAIN, params={"lr": "1"})
    assert isinstance(parse_words(Verb.TRAIN, "lr=1\n/deploy"), Answer)


@pytest.mark.parametrize(
    "line",
    [
        "- " * 30_000,
        "-    " * 13_000 + "x",
        "> " * 30_000,
        "`" * 65_000,
        "<!---->" * 9_000,
        "/" * 65_000,
        '/train x="' * 6_000,
    ],
)
def test_hostile_lines_cost_little(line: str) -> None:
    started = time.process_time()
    parse_comment(line)
    assert time.process_time() - started < 5  # CPU time of this process: a loaded machine does not matter

from __future__ import annotations

import pytest

from headway.commands.grammar import parse_comment
from headway.commands.model import ParsedCommand, Verb
from headway.commands.usage import USAGE, help_text, permission_for
from headway.forges.model import Permission


def test_every_verb_has_a_usage_and_an_example_that_parses_to_it() -> None:
    assert set(USAGE) == set(Verb)
    for verb, usage in USAGE.items():
        (found,) = parse_comment(usage.example)
        assert isinstance(found, ParsedCommand)
        assert found.verb is verb


@pytest.mark.parametrize(
    ("permission", "verbs"),
    [
        (Permission.READ, {Verb.WHY, Verb.HELP}),
        (Permission.WRITE, {Verb.PLAN, Verb.TRAIN, Verb.TUNE, Verb.STOP, Verb.RETRY}),
        (Permission.MAINTAIN, {Verb.DEPLOY, Verb.APPROVE, Verb.ROLLBACK, Verb.OVERRIDE}),
    ],
)
def test_each_verb_asks_for_its_standing(permission: Permission, verbs: set[Verb]) -> None:
    assert {verb for verb in Verb if permission_for(verb) is permission} == verbs


def test_the_help_names_every_verb_and_the_words_of_the_project() -> None:
    text = help_text(aliases={"run-full-test": "train --project flights"})
    assert all(USAGE[verb].syntax in text for verb in Verb)
    assert "/run-full-test = /train --project flights" in text


@pytest.mark.parametrize("verb", [None, *Verb])
def test_no_bot_obeys_what_we_say(verb: Verb | None) -> None:
    """Rule 9: examples stand in code fences, where nobody's grammar finds them."""
    assert parse_comment(help_text(verb, {"x": "train\n```\n/deploy"})) == ()


def test_the_syntax_of_an_override_has_its_options_before_the_reason() -> None:
    assert USAGE[Verb.OVERRIDE].syntax == "/override [@commit] [--project NAME] CHECK reason..."
    assert USAGE[Verb.DEPLOY].syntax == "/deploy [RUN] [@commit] [--to ENV] [--project NAME] [--dry-run]"

"""A refusal has a stable code, a sentence and one thing that can be copied; codes and their page are one list."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from headway import errors
from headway.commands.model import Origin, Verb
from headway.commands.refusals import INTERNAL, REFUSALS, code_of
from headway.errors import HeadwayError, NotFound, Refused, UsageError
from headway.flow import deliver, dispatch
from headway.flow.outbox import KINDS
from headway.flow.refusing import refusal_text

if TYPE_CHECKING:
    from fakes.story import Story

ROOT = Path(__file__).parents[3]
SOURCES = "\n".join(each.read_text() for each in sorted((ROOT / "src" / "headway").rglob("*.py")))


def test_every_code_in_the_program_stands_in_the_list_and_no_other() -> None:
    used = set(re.findall(r"HW-[A-Z]+(?:-[A-Z]+)*", SOURCES))
    assert used == set(REFUSALS)


def test_every_kind_of_error_has_a_code() -> None:
    kinds = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, HeadwayError)]
    assert len(kinds) > 10
    assert {f"HW-{kind.code.replace('_', '-')}" for kind in kinds} <= set(REFUSALS)
    assert INTERNAL in REFUSALS


def test_the_page_of_refusals_names_every_code() -> None:
    page = (ROOT / "docs" / "reference" / "refusals.md").read_text()
    assert [code for code in REFUSALS if f"`{code}`" not in page] == []


@pytest.mark.parametrize(
    ("hint", "fix"),
    [
        ("/approve @" + "a" * 40, "/approve @" + "a" * 40),
        ("review it again, then /approve @" + "b" * 40, "/approve @" + "b" * 40),
        ("headway change open BRANCH", "headway change open BRANCH"),
        ("commit it on a branch, then: headway change open BRANCH", "headway change open BRANCH"),
        ("mend what failed, or /override the check with a reason", "/override"),
    ],
)
def test_the_fix_is_copied_out_of_the_hint(story: Story, hint: str, fix: str) -> None:
    command = story.command(Verb.TRAIN, story.change())
    text = refusal_text(command, Refused("no", cause="because", hint=hint, reason="HW-CHANGE-MOVED"))
    assert text.startswith("Refused: `HW-CHANGE-MOVED`\n\nno. because.")
    assert text.endswith(f"```text\n{fix}\n```")


def test_without_a_command_in_the_hint_the_same_command_can_be_copied_by_somebody_who_may(story: Story) -> None:
    change = story.change()
    command = story.command(Verb.TRAIN, change)
    text = refusal_text(command, NotFound("there is none"))
    assert code_of(NotFound("x")) == "HW-NOT-FOUND"
    assert text.endswith(f"```text\n/train @{change.head_sha}\n```")


def test_a_wrong_param_is_not_offered_for_copying_again(story: Story) -> None:
    command = replace(story.command(Verb.TRAIN, story.change()), params={"tree": "3"})
    wrong = UsageError("there is no param 'tree'; did you mean 'trees'?", cause="known: trees", hint="write trees=...")
    text = refusal_text(command, wrong)
    assert text.endswith("there is no param 'tree'; did you mean 'trees'? known: trees.\n\nWrite trees=...")
    assert "```" not in text


def test_a_refused_comment_gets_a_confused_face_and_one_answer_with_its_code(story: Story) -> None:
    change = story.change(from_fork=True)
    posted = story.forge.add_comment(story.repo.id, change.number, author="mallory", body="/stop")
    story.command(Verb.STOP, change, actor="mallory", comment_id=posted.id, origin=Origin.COMMENT)
    dispatch.step(story.app, story.background)
    for _ in range(3):
        deliver.step(story.app, story.background)
    shown = story.forge.show(story.repo.id, change.number)
    assert shown.reactions[posted.id] == ("confused",)
    (answer,) = [each.body for each in shown.comments if each.is_ours]
    assert "Refused: `HW-NOT-ALLOWED`" in answer
    assert "```text\n/stop\n```" in answer
    assert "reaction" in KINDS

from __future__ import annotations

import pytest

from headway.commands.checks import NamedCheck, named_check
from headway.commands.grammar import parse_comment
from headway.commands.model import Answer, ParsedCommand

CHECKS = ("val_auc>=0.85", "val_auc by origin", "val_auc by origin origin=JFK", "latency<=40")


def judge(text: str, checks: tuple[str, ...] = CHECKS) -> NamedCheck | Answer:
    (command,) = parse_comment(text)
    assert isinstance(command, ParsedCommand), command
    return named_check(command, checks)


@pytest.mark.parametrize(
    ("text", "check", "reason"),
    [
        ("/override val_auc>=0.85 late data", "val_auc>=0.85", "late data"),
        ('/override "val_auc by origin" late data', "val_auc by origin", "late data"),
        ("/override val_auc by origin late data", "val_auc by origin", "late data"),
        ("/override VAL_AUC by origin origin=JFK: late", "val_auc by origin origin=JFK", "late"),
        ("/override origin=JFK late", "val_auc by origin origin=JFK", "late"),
        ("/override latency known", "latency<=40", "known"),
    ],
)
def test_the_longest_name_that_fits_is_meant(text: str, check: str, reason: str) -> None:
    assert judge(text) == NamedCheck(check=check, reason=reason)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("/override val_auc late", "More than one check holds `val_auc`"),
        ("/override nothing late", "There is no check `nothing`."),
        ("/override latency<=41 late", "did you mean `latency<=40`?"),
        ("/override val_auc by origin", "needs a reason"),
    ],
)
def test_what_is_unclear_is_answered(text: str, says: str) -> None:
    found = judge(text)
    assert isinstance(found, Answer)
    assert says in found.text


def test_without_a_failed_check_there_is_nothing_to_override() -> None:
    found = judge("/override x y", ())
    assert isinstance(found, Answer)
    assert "nothing to override" in found.text

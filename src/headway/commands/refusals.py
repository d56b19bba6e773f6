"""Why a command is refused: stable codes that a person can look up and a program can act on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from headway.errors import HeadwayError

INTERNAL = "HW-INTERNAL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One code of the reference: what it means, and what mends it."""

    means: str
    fix: str


REFUSALS: Mapping[str, Refusal] = {
    "HW-NOT-ALLOWED": Refusal(
        means="whoever wrote the command has less than the permission that it needs, as the forge says now",
        fix="somebody who has it writes the same comment",
    ),
    "HW-HEAD-UNSURE": Refusal(
        means="the head of the change was not known well before the comment: it may be another than its author saw",
        fix="the command again, with the whole commit",
    ),
    "HW-OTHER-COMMIT": Refusal(
        means="the commit in the command is not the head of the change", fix="review the head, then name it"
    ),
    "HW-SHORT-COMMIT": Refusal(
        means="a short commit is not unique: another that begins with the same digits is made in minutes",
        fix="at least 16 digits, or all",
    ),
    "HW-FORK-COMMIT": Refusal(
        means="a command for code from a fork must name its whole commit", fix="the command with `@COMMIT`"
    ),
    "HW-FORK-NOT-GRANTED": Refusal(
        means="code from a fork runs only when a maintainer has approved that commit",
        fix="`/approve` with `@` and the whole commit",
    ),
    "HW-FORK-MODEL": Refusal(
        means="a model that a fork's code made is never released", fix="merge it, then `/train` on the default branch"
    ),
    "HW-NAME-COMMIT": Refusal(
        means="a release of what is not merged must name its whole commit or its run",
        fix="`/deploy` with `@` and the whole commit",
    ),
    "HW-CHANGE-MOVED": Refusal(
        means="the change was pushed to since the command was given", fix="look at the new head, then name it"
    ),
    "HW-CHANGE-CLOSED": Refusal(
        means="the change is merged or closed, and the command makes sense for open ones only",
        fix="reopen it, or work on another change",
    ),
    "HW-NOT-GOOD-ENOUGH": Refusal(
        means="the run did not succeed with a verdict that allows the merge",
        fix="mend what failed, or `/override CHECK REASON`",
    ),
    "HW-UNPROPOSED": Refusal(
        means="the run is of work that is on no change and not on the default branch", fix="open a change with it"
    ),
    "HW-NOT-A-REVIEWER": Refusal(
        means="headway.yaml, or the forge's environment, lists the people who may approve, and this is none of them",
        fix="one of the listed comments `/approve`",
    ),
    "HW-OWN-RELEASE": Refusal(
        means="nobody approves a release that they asked for", fix="another maintainer comments `/approve`"
    ),
    "HW-RULES-CHANGED": Refusal(
        means="the default branch's rules for the environment have changed since the release was asked for",
        fix="`/deploy` again, by the rules of now",
    ),
    "HW-BRANCH-NOT-TAKEN": Refusal(
        means="GitHub's environment takes deployments of other branches only", fix="merge it, then `/deploy`"
    ),
    "HW-TEAM-UNSEEN": Refusal(
        means="GitHub's environment asks for a team's approval and does not tell us who is in it",
        fix="give the App `members: read` in the organisation, or list people as reviewers",
    ),
    "HW-REFUSED": Refusal(means="understood and not allowed; the sentence says why", fix="as the answer says"),
    "HW-USAGE": Refusal(means="the line is no command in this form", fix="`/help` with the verb shows the form"),
    "HW-CONFIG": Refusal(means="headway.yaml is wrong; the answer names file, line and column", fix="mend it and push"),
    "HW-NOT-FOUND": Refusal(
        means="there is no such thing, or none that its author may see", fix="look at the name in the answer"
    ),
    "HW-CONFLICT": Refusal(means="somebody else moved first", fix="look again, then repeat the command"),
    "HW-GATE-FAILED": Refusal(means="the run is fine and the verdict is not", fix="the report shows what failed"),
    "HW-LOGIN-NEEDED": Refusal(means="no valid token came along", fix="`headway login`"),
    "HW-TOO-LARGE": Refusal(means="more bytes, rows or characters than the limit", fix="the answer names the limit"),
    "HW-NOT-THERE-YET": Refusal(means="the verb is known and not built yet", fix="the answer says what can be done"),
    "HW-UNREACHABLE": Refusal(
        means="the forge or another neighbour did not answer for some minutes", fix="the same command again, later"
    ),
    "HW-THROTTLED": Refusal(
        means="the forge asked us to wait for longer than a command waits", fix="the same command again, later"
    ),
    "HW-STORAGE-FULL": Refusal(means="the server's disk is full", fix="`headway space` shows what fills it"),
    "HW-ERROR": Refusal(means="it failed in a way that has no code of its own", fix="as the answer says"),
    INTERNAL: Refusal(means="a defect of Headway; its log has the trace", fix="tell whoever runs the server"),
}


def code_of(error: HeadwayError) -> str:
    """Return the code of an error: its own, or that of its kind."""
    return error.reason or f"HW-{error.code.replace('_', '-')}"


def copyable(command: str) -> str:
    """Return a command in a fence of its own: it is copied whole, and never read as a command of ours."""
    return f"\n\n```text\n{command}\n```"

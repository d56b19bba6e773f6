"""Who may give a command, and for which commit: the same rules for a comment, a terminal and a program."""

from __future__ import annotations

from datetime import datetime, timedelta

from headway.app import App
from headway.auth.model import Principal
from headway.commands.grammar import parse_comment
from headway.commands.model import Command, Origin, ParsedCommand, Verb
from headway.commands.refusals import copyable
from headway.commands.usage import permission_for
from headway.errors import HeadwayError, Refused
from headway.flow.projects import aliases, chosen, projects_at
from headway.flow.repos import forge_of
from headway.flow.who_releases import RELEASES, may_try
from headway.forges.head_store import HeadStore
from headway.forges.model import Change, ChangeState, Permission
from headway.forges.roles import role_of

# Seven digits are 28 bits: anybody can make a second commit that begins with them in minutes.
TRUSTED_DIGITS = 16
SEEN_BEFORE = timedelta(seconds=10)
_RUNS_CODE = frozenset({Verb.PLAN, Verb.TRAIN, Verb.TUNE, Verb.RETRY, Verb.APPROVE, Verb.DEPLOY})
_TRAINS = frozenset({Verb.TRAIN, Verb.TUNE, Verb.RETRY})


def wrong_commit(change: Change, parsed: ParsedCommand) -> str:
    """Say why a command is not for the head of its change; "" when it is."""
    head = change.head_sha
    if change.from_fork and parsed.verb in _RUNS_CODE and len(parsed.sha or "") != len(head):
        fork = "`HW-FORK-COMMIT` This change comes from a fork"
        return f"{fork}: the command must name its whole commit, as you have reviewed it."
    if parsed.sha is None:
        return ""
    if not head.startswith(parsed.sha):
        return f"`HW-OTHER-COMMIT` Commit `{parsed.sha}` is not the head of this change: it is at `{head}`."
    if len(parsed.sha) < TRUSTED_DIGITS:
        short = f"`{parsed.sha}` is too short to be sure which commit is meant"
        return f"`HW-SHORT-COMMIT` {short}: give {TRUSTED_DIGITS} digits or all."
    return ""


def doubtful_head(app: App, change: Change, parsed: ParsedCommand, said_at: datetime) -> str:
    """Say why a comment without a commit may not be for the head of its change; "" when it surely is.

    Whoever controls the branch can push between a maintainer's comment and our look: only a head that we were told
    of well before the comment can be what its author saw (rule 12 of the forge door).
    """
    if parsed.verb not in _RUNS_CODE or parsed.sha is not None:
        return ""
    doubt = doubt_of_head(app, change, said_at)
    return doubt and (
        f"`HW-HEAD-UNSURE` I cannot be sure which commit you mean: {doubt}, and your comment is of "
        f"{said_at:%H:%M:%S}. If that is the commit, say so:{copyable(f'/{parsed.verb} @{change.head_sha}')}"
    )


def doubt_of_head(app: App, change: Change, at: datetime) -> str:
    """Say what speaks against the head of a change being what somebody saw at that time; "" when nothing does."""
    with app.database.read() as tx:
        heads = HeadStore(tx)
        seen = heads.first_seen(change.repo_id, change.number, change.head_sha)
        is_newest = heads.is_newest(change.repo_id, change.number, change.head_sha)
    if seen is not None and seen + SEEN_BEFORE <= at and is_newest:
        return ""
    when = "was never told to us" if seen is None else f"was first seen at {seen:%H:%M:%S} UTC"
    if seen is not None and not is_newest:
        when += ", and the branch has stood elsewhere since"
    return f"the head `{change.head_sha[:16]}` {when}"


def unnamed_production(change: Change, parsed: ParsedCommand) -> str:
    """Say why a comment may not release what is not merged yet without naming it; "" when it may.

    Rule 13 of the forge door. A run's number names one commit and one model, which nothing later changes, so it is
    as good as the commit; staging may follow the head.
    """
    is_open = change.state is ChangeState.OPEN
    if parsed.verb is not Verb.DEPLOY or not is_open or parsed.dry_run or parsed.environment == "staging":
        return ""
    if parsed.arguments or (parsed.sha is not None and parsed.sha == change.head_sha):
        return ""
    return (
        "`HW-NAME-COMMIT` This change is not merged: a release of it must name its whole commit, or the run by its "
        f"number.{copyable(f'/deploy @{change.head_sha}')}"
    )


def check_pressed(app: App, command: Command) -> None:
    """Return when the check that a button stands under is still that of the change's head.

    Raises:
        Refused: the change was pushed to since.
    """
    if command.origin is not Origin.BUTTON or command.change is None:
        return
    change = forge_of(app, command.repo_id).get_change(command.repo_id, command.change)
    if change.state is ChangeState.OPEN and change.head_sha != command.head_sha:
        raise Refused(
            f"the check is of commit {(command.head_sha or '')[:12]}, and the change is at {change.head_sha[:12]}",
            cause="a button is for the commit whose check it stands under",
            hint=f"look at the new commit, then use its own check, or write /{command.verb} @{change.head_sha}",
            reason="HW-CHANGE-MOVED",
        )


def check_token(principal: Principal, verb: Verb) -> None:
    """Return when the caller's token may ask for this verb, whatever the caller's standing at the forge.

    Raises:
        Refused: a token made for less must not do more because its owner could.
    """
    needed = role_of(permission_for(verb))
    if principal.role < needed:
        raise Refused(
            f"this token may not /{verb}",
            cause=f"it needs the role {needed.name.lower()}, and the token has {principal.role.name.lower()}",
            hint="use a token with that role",
        )


def check_comment(app: App, principal: Principal, change: Change, body: str) -> None:
    """Return when the caller's token may give every command that a comment holds.

    Raises:
        Refused: one of them is beyond it.
    """
    for each in parse_comment(body, aliases(app, change.repo_id, change.base_sha)):
        if isinstance(each, ParsedCommand):
            check_token(principal, each.verb)


def check_standing(app: App, command: Command) -> None:
    """Return when the forge says that whoever gave the command may give it here.

    Raises:
        Refused: the actor may not, or the forge does not say so.
    """
    standing = forge_of(app, command.repo_id).get_permission(command.repo_id, command.actor)
    needed = needed_for(app, command)
    is_enough = may_try(app, command, standing) if command.verb in RELEASES else standing >= needed
    if not is_enough:
        raise Refused(
            f"@{command.actor} may not /{command.verb} here",
            cause=f"it needs {needed.name.lower()} permission, and @{command.actor} has {standing.name.lower()}",
            hint="ask somebody who has it to write the same comment",
            reason="HW-NOT-ALLOWED",
        )


def needed_for(app: App, command: Command) -> Permission:
    """Return the least standing for a command: who may train a change, the base branch's triggers say."""
    least = permission_for(command.verb)
    if command.change is None or command.verb not in _TRAINS:
        return least
    try:
        base = forge_of(app, command.repo_id).get_change(command.repo_id, command.change).base_sha
        projects = chosen(projects_at(app, command.repo_id, head=base, base=base), command.project)
    except HeadwayError as error:
        if error.retryable:
            raise  # a forge that is away has not said that less is enough
        return least  # a project that the base does not know: the command itself tells what is wrong
    return max(min(Permission[role.upper()] for role in each.spec.triggers.comment_roles) for each in projects)

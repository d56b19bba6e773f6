"""Accepted commands are carried out, one after the other; each ends with an answer that says what became of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial

from headway.app import App
from headway.auth.secrets import SecretStore
from headway.commands.model import Command, CommandState, Origin, Verb
from headway.commands.refusals import INTERNAL
from headway.commands.store import CommandStore
from headway.commands.usage import help_text
from headway.errors import HeadwayError, NotThereYet, Throttled
from headway.flow import acts, release_commands, train, why
from headway.flow.background import Background
from headway.flow.outbox import want
from headway.flow.queue_content import is_queue
from headway.flow.queued import tell_refused
from headway.flow.refusing import refusal_text
from headway.flow.standing import check_pressed, check_standing
from headway.flow.who_releases import BY_ITSELF
from headway.forges.local import NAME as LOCAL
from headway.forges.model import WantedComment, WantedReaction
from headway.forges.repo_store import RepoStore
from headway.logs import logger
from headway.reports.escape import redact

# How long a command waits for its forge: longer, and whoever gave it has looked elsewhere.
PATIENCE = timedelta(minutes=5)
_AGAIN = 10.0  # seconds


def step(app: App, background: Background) -> bool:
    """Carry out what has been accepted; return whether there was anything.

    A command of a forge over the network asks it: that is done beside the loops, a repository's in their order.
    """
    with app.database.read() as tx:
        waiting = CommandStore(tx).in_state(CommandState.ACCEPTED, limit=200)
        local = {repo.id for repo, _ in RepoStore(tx).with_cursors() if repo.forge == LOCAL}
    by_repo: dict[str, list[Command]] = {}
    for command in waiting:
        by_repo.setdefault(command.repo_id, []).append(command)
    moved = False
    for repo_id, commands in by_repo.items():
        name = f"commands:{repo_id}"
        if background.is_paused(name):
            continue
        work = partial(_carry_all, app, background, name, commands)
        if repo_id in local:
            work()
            moved = True
        else:
            moved |= background.run(name, work)
    return moved


def _carry_all(app: App, background: Background, name: str, commands: Sequence[Command]) -> None:
    for command in commands:
        with app.database.read() as tx:
            fresh = CommandStore(tx).get(command.id)
        if fresh.state is not CommandState.ACCEPTED:
            continue  # carried out by the round before
        wait = _carry_out(app, fresh)
        if wait:
            background.pause(name, wait)
            return


def _carry_out(app: App, command: Command) -> float:
    """Carry out one command; return after how many seconds to try again where its forge is away."""
    try:
        # An answer that is kept already was kept with its effect, before a crash: the effect must not come twice.
        answer = command.answer or _allowed(app, command)
    except HeadwayError as error:
        tried = app.clock.now() - command.at
        if error.retryable and tried < PATIENCE:
            logger().warning("command waits", command=command.id, verb=command.verb, error=error.message)
            until = error.until - app.clock.now() if isinstance(error, Throttled) else timedelta(seconds=_AGAIN)
            return min(max(until.total_seconds(), 1.0), (PATIENCE - tried).total_seconds() + 1)
        waited = f"It was tried for {int(PATIENCE.total_seconds() // 60)} minutes." if error.retryable else ""
        lines = [error.message, error.cause, waited, f"Try: {error.hint}" if error.hint else ""]
        said = "\n".join(line for line in lines if line)
        _end(app, command, CommandState.REFUSED, said, shown=refusal_text(command, error, waited=waited))
    except Exception as error:  # noqa: BLE001  # a defect must end as an answer, or the command would be tried for ever
        logger().exception("command failed", command=command.id, verb=command.verb)
        said = f"internal error: {type(error).__name__}; the server's log has it"
        _end(app, command, CommandState.REFUSED, said, shown=f"Refused: `{INTERNAL}`\n\n{said}")
    else:
        _end(app, command, CommandState.EXECUTED, answer)
    return 0.0


def _allowed(app: App, command: Command) -> str:
    if command.origin not in BY_ITSELF:
        check_standing(app, command)
    check_pressed(app, command)
    return act(app, command)


def act(app: App, command: Command) -> str:
    """Do what a command asks and return what is said back; "" where the report says it."""
    return _ACTS[command.verb](app, command)


def _tune(_app: App, _command: Command) -> str:
    raise NotThereYet(
        "/tune is not there yet",
        cause="the search for hyperparameters is built after the main flow",
        hint="/train lr=0.1 tries one value; several comments queue up",
    )


def _help(_app: App, command: Command) -> str:
    word = command.arguments[0].lstrip("/") if command.arguments else ""
    return help_text(Verb(word) if word in set(Verb) else None)


_ACTS: Mapping[Verb, Callable[[App, Command], str]] = {
    Verb.PLAN: train.plan,
    Verb.TRAIN: train.train,
    Verb.TUNE: _tune,
    Verb.RETRY: train.retry,
    Verb.STOP: acts.stop,
    Verb.OVERRIDE: acts.override,
    Verb.DEPLOY: release_commands.deploy,
    Verb.APPROVE: release_commands.approve,
    Verb.ROLLBACK: release_commands.rollback,
    Verb.WHY: why.answer,
    Verb.HELP: _help,
}


def _end(app: App, command: Command, state: CommandState, answer: str, *, shown: str = "") -> None:
    """Keep the answer; `shown` is how the forge shows it, where that differs."""
    now = app.clock.now()
    with app.database.write() as tx:
        secrets = SecretStore(tx).all_values(command.repo_id)
        answer, shown = redact(answer, secrets), redact(shown or answer, secrets)
        store = CommandStore(tx)
        store.answer(command.id, answer)
        store.move(command.id, to=state, of=(CommandState.ACCEPTED,), actor=command.actor, at=now, reason=answer[:500])
        if state is CommandState.REFUSED and is_queue(command.branch):
            tell_refused(app, tx, command, answer)
        if command.comment_id is None or command.change is None:
            return
        if state is CommandState.REFUSED and command.origin is Origin.COMMENT:
            want(
                tx,
                WantedReaction(
                    repo_id=command.repo_id,
                    number=command.change,
                    comment_id=command.comment_id,
                    content="confused",
                ),
                now,
            )
        if answer:
            marker = f"<!-- headway:answer comment={command.comment_id} line={command.line} -->"
            body = f"{marker}\n{_addressed(command, shown)}"
            want(
                tx,
                WantedComment(repo_id=command.repo_id, number=command.change, marker=marker, body=body, fresh=True),
                now,
            )


def _addressed(command: Command, answer: str) -> str:
    return f"@{command.actor}, to `/{command.verb}`:\n\n{answer}"

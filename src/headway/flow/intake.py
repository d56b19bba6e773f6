"""Events become commands: first kept in the inbox, then read once, by the same rules for every origin."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from headway.app import App
from headway.commands.inbox import Delivery, InboxState, InboxStore
from headway.commands.model import Command
from headway.commands.store import CommandStore
from headway.errors import HeadwayError, Throttled
from headway.flow.background import Background
from headway.flow.merging import after_merge, after_opening, after_push
from headway.flow.outbox import want
from headway.flow.pressed import after_press
from headway.flow.queued import after_queue
from headway.flow.repos import forge_of
from headway.flow.said import asks, understand
from headway.flow.triggers import after_dispatch, after_label
from headway.flow.watching import leave_change
from headway.forges.head_store import HeadStore
from headway.forges.local import NAME as LOCAL
from headway.forges.model import (
    BranchPushed,
    ChangeLabelled,
    ChangeMoved,
    ChangeState,
    CheckPressed,
    CommentCreated,
    Dispatched,
    QueueEntered,
    Repo,
    WantedComment,
    WantedReaction,
)
from headway.forges.repo_store import RepoStore
from headway.logs import logger

_AWAY = timedelta(seconds=10)


def step(app: App, background: Background) -> bool:
    """Take in what the forges tell, then read what is new; return whether there was anything."""
    with app.database.read() as tx:
        repos = RepoStore(tx).with_cursors()
    for repo, cursor in repos:
        _listen(app, background, repo, cursor)
    with app.database.read() as tx:
        told = InboxStore(tx).next_new(at=app.clock.now(), limit=200)
    waiting = _without_prose(app, told)
    far: dict[str, list[Delivery]] = {}
    for entry in waiting:
        if entry.forge == LOCAL:
            _read(app, entry)
        else:
            far.setdefault(entry.repo_id, []).append(entry)
    # What is told asks its forge back: over a network that is done beside the loops, a repository's in their order.
    began = [background.run(f"read:{repo_id}", partial(_read_all, app, each)) for repo_id, each in far.items()]
    return len(waiting) < len(told) or len(far) < len(waiting) or any(began)


def _without_prose(app: App, told: tuple[Delivery, ...]) -> list[Delivery]:
    """Put what people merely say to each other aside in one go: a commit each would keep the webhook door waiting."""
    prose = [each for each in told if isinstance(each.event, CommentCreated) and not asks(each.event)]
    if prose:
        with app.database.write() as tx:
            for each in prose:
                InboxStore(tx).ignored(each.id, why="nothing in it is for us")
    aside = {each.id for each in prose}
    return [each for each in told if each.id not in aside]


def _read_all(app: App, entries: list[Delivery]) -> None:
    for index, entry in enumerate(entries):
        with app.database.read() as tx:
            fresh = InboxStore(tx).get(entry.id)
        if fresh is None or fresh.state is not InboxState.NEW:
            continue  # read by the round before
        until = _read(app, fresh)
        if until is not None:
            # The forge is away for the others too: asking it for each would only take longer.
            with app.database.write() as tx:
                for later in entries[index + 1 :]:
                    InboxStore(tx).postpone(later.id, error="the forge is away", until=until)
            return


def _listen(app: App, background: Background, repo: Repo, cursor: str) -> None:
    """Look at a repository: here at once, at a forge over the network now and then and beside the loops."""
    forge = app.forges.get(repo.forge)
    if forge is None or repo.forge == LOCAL:
        _take_in(app, repo, cursor)
        return
    is_told = app.github is not None and app.github.listens
    every = app.settings.catch_up_seconds if is_told else app.settings.poll_seconds
    name = f"listen:{repo.id}"
    if not background.is_running(name) and background.is_due(name, every):
        background.run(name, lambda: _take_in(app, repo, cursor))


def _take_in(app: App, repo: Repo, cursor: str) -> None:
    try:
        page = app.forge(repo.forge).events_since(repo.id, cursor)
    except HeadwayError as error:
        logger().warning("repository cannot be read", repo=repo.name, error=error.message)
        return
    if not page.events and page.cursor == cursor:
        return
    now = app.clock.now()
    with app.database.write() as tx:
        inbox = InboxStore(tx)
        for event in page.events:
            inbox.add(event, forge=repo.forge, at=now)
        RepoStore(tx).set_cursor(repo.id, page.cursor)


def _read(app: App, delivery: Delivery) -> datetime | None:
    """Read one delivery; return until when it waits where its forge is away."""
    try:
        used = _understand(app, delivery)
    except Exception as error:  # noqa: BLE001  # one poisonous event must not stop the others
        return _later(app, delivery, error)
    with app.database.write() as tx:
        if used:
            InboxStore(tx).done(delivery.id)
        else:
            InboxStore(tx).ignored(delivery.id, why="nothing in it is for us")
    return None


def _later(app: App, delivery: Delivery, error: Exception) -> datetime | None:
    now = app.clock.now()
    if isinstance(error, HeadwayError) and error.retryable:
        # The forge is away and comes back: what was said there must not be lost with the last of some tries.
        logger().warning("forge is away, the event waits", delivery=delivery.id, error=error.message)
        until = error.until if isinstance(error, Throttled) else now + _AWAY
        with app.database.write() as tx:
            InboxStore(tx).postpone(delivery.id, error=error.message, until=until)
        return until
    logger().exception("event cannot be read", kind=type(delivery.event).__name__, exc_info=error)
    with app.database.write() as tx:
        InboxStore(tx).failed(delivery.id, error=str(error), at=now)
    return None


def _understand(app: App, delivery: Delivery) -> bool:
    match delivery.event:
        case CommentCreated() as said:
            return _read_comment(app, said, delivery.received_at)
        case ChangeMoved() as moved:
            return _read_change(app, moved)
        case BranchPushed() as pushed:
            return after_push(app, pushed)
        case QueueEntered() as entered:
            return after_queue(app, entered)
        case CheckPressed() | ChangeLabelled() | Dispatched() as asked:
            return _asked(app, asked)


def _asked(app: App, event: CheckPressed | ChangeLabelled | Dispatched) -> bool:
    match event:
        case CheckPressed():
            return after_press(app, event)
        case ChangeLabelled():
            return after_label(app, event)
        case Dispatched():
            return after_dispatch(app, event)


def _read_change(app: App, event: ChangeMoved) -> bool:
    if event.action in ("opened", "reopened", "pushed"):
        return _read_head(app, event)
    leave_change(app, event)
    if event.action == "merged":
        return after_merge(app, event)
    return False


def _read_head(app: App, event: ChangeMoved) -> bool:
    """Follow a change to where it stands now: deliveries come late, twice and in any order, and the forge knows."""
    told = event.change
    fresh = forge_of(app, told.repo_id).get_change(told.repo_id, told.number)
    if fresh.state is not ChangeState.OPEN:
        return False  # merged or closed since: that has its own event
    if fresh.head_sha != told.head_sha:
        with app.database.write() as tx:
            HeadStore(tx).note(fresh.repo_id, fresh.number, fresh.head_sha, app.clock.now())
    return after_opening(app, replace(event, change=fresh))


def _read_comment(app: App, event: CommentCreated, received_at: datetime) -> bool:
    if not asks(event):
        return False
    said = understand(app, event, received_at)
    for line in said.lines:
        if line.command is None:
            _say(app, replace(event, change=said.change), line.answer, line=line.number)
        else:
            _give(app, line.command, event)
    return bool(said.lines)


def _give(app: App, command: Command, event: CommentCreated) -> None:
    seen = WantedReaction(
        repo_id=command.repo_id, number=event.change.number, comment_id=event.comment.id, content="eyes"
    )
    with app.database.write() as tx:
        CommandStore(tx).add(command, told=event.delivery)
        # A sign that it is taken, as small as it can be: a comment would notify everybody.
        want(tx, seen, app.clock.now())


def _say(app: App, event: CommentCreated, text: str, *, line: int = 0) -> None:
    # One marker a line: two wrong lines of a comment are two answers.
    marker = f"<!-- headway:answer comment={event.comment.id} line={line} -->"
    with app.database.write() as tx:
        want(
            tx,
            WantedComment(
                repo_id=event.change.repo_id,
                number=event.change.number,
                marker=marker,
                body=f"{marker}\n@{event.comment.author} {text}",
                fresh=True,
            ),
            app.clock.now(),
        )
        want(
            tx,
            WantedReaction(
                repo_id=event.change.repo_id,
                number=event.change.number,
                comment_id=event.comment.id,
                content="confused",
            ),
            app.clock.now(),
        )

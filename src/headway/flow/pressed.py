"""A button under a check, or a forge's "run again", becomes a command of whoever pressed it.

A press is as exact as a command that names its whole commit: the delivery is signed and carries the full commit of the
check that was looked at, never "whatever stands there now". A press on an older commit's check is refused, so nobody
can push between the look and the press. A fork's code still runs only by a grant for that commit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from headway.app import App
from headway.commands.inbox import InboxStore
from headway.commands.model import Command, Origin, Verb, happening
from headway.commands.store import CommandStore
from headway.db import schema
from headway.errors import NotFound, UsageError
from headway.flow.caused import Aim, Cause, command_of
from headway.flow.merging import OF_PROJECT
from headway.flow.projects import projects_at
from headway.flow.queued import after_queue
from headway.flow.repos import forge_of
from headway.forges.head_store import HeadStore
from headway.forges.model import Change, ChangeState, CheckPressed
from headway.jobs.model import Job
from headway.jobs.store import JobStore

_VERBS = {"deploy": Verb.DEPLOY, "approve": Verb.APPROVE}


@dataclass(frozen=True, slots=True, kw_only=True)
class _At:
    """What a press is about: a project at the check's commit, and its newest job there."""

    project: str
    job: Job | None


def after_press(app: App, event: CheckPressed) -> bool:
    """Record the command that a press means, one for each project of a whole suite; False when it means nothing."""
    number = _number(app, event)
    change = None if number is None else forge_of(app, event.repo_id).get_change(event.repo_id, number)
    places = _places(app, event, change)
    if event.action == "rerun" and change is None and all(each.job is None for each in places):
        return _queue_again(app, event)
    commands = [
        command
        for each in places
        if (each.job or change) and (command := _command(app, event, each, change)) is not None
    ]
    with app.database.write() as tx:
        for command in commands:
            CommandStore(tx).add(command)
    return bool(commands)


def _number(app: App, event: CheckPressed) -> int | None:
    """Return the change of a check: its job's, else the one that the ledger has at the commit, else the forge's word.

    GitHub lists every change whose head is the commit and none of a fork's; our own job knows for which it ran.
    """
    with app.database.read() as tx:
        job = _job(JobStore(tx), event)
        if job is not None:
            return job.change
        known = HeadStore(tx).change_at(event.repo_id, event.sha)
    return known if event.number is None else event.number


def _job(store: JobStore, event: CheckPressed) -> Job | None:
    if not event.external_id or event.external_id.startswith(OF_PROJECT):
        return None
    try:
        job = store.get(event.external_id)
    except NotFound:
        return None
    is_its = (job.repo_id, job.commit) == (event.repo_id, event.sha)
    return job if is_its else None


def _places(app: App, event: CheckPressed, change: Change | None) -> list[_At]:
    with app.database.read() as tx:
        job = _job(JobStore(tx), event)
    if job is not None:
        return [_At(project=job.project, job=job)]
    if event.external_id.startswith(OF_PROJECT):
        names = [event.external_id.removeprefix(OF_PROJECT)]
    elif event.external_id:
        return []  # a check of a server that is no more
    else:
        names = _names(app, event, change)
    return [_At(project=name, job=_newest(app, event, name, change)) for name in names]


def _names(app: App, event: CheckPressed, change: Change | None) -> list[str]:
    """Return the projects of a whole suite: those that have a job at the commit, and those that wait for one."""
    with app.database.read() as tx:
        jobs = JobStore(tx).find(schema.job.c.repo_id == event.repo_id, schema.job.c.commit == event.sha)
    names = [job.project for job in jobs if change is None or job.change == change.number]
    if change is not None:
        try:
            found = projects_at(app, event.repo_id, head=event.sha, base=change.base_sha)
        except UsageError:
            found = []  # its check says already what is wrong with the file
        names += [each.spec.name for each in found if each.is_touched]
    return list(dict.fromkeys(names))


def _newest(app: App, event: CheckPressed, project: str, change: Change | None) -> Job | None:
    where = [
        schema.job.c.repo_id == event.repo_id,
        schema.job.c.commit == event.sha,
        schema.job.c.project == project,
    ]
    if change is not None:
        where.append(schema.job.c.change == change.number)
    with app.database.read() as tx:
        return next(iter(JobStore(tx).find(*where, limit=1)), None)


def _command(app: App, event: CheckPressed, at: _At, change: Change | None) -> Command | None:
    job = at.job
    verb = _VERBS.get(event.action) or (Verb.TRAIN if job is None else Verb.RETRY)
    if verb is Verb.DEPLOY and job is None:
        return None  # no such button stands under a check without a job
    is_grant = verb is Verb.APPROVE and change is not None and change.from_fork and change.state is ChangeState.OPEN
    cause = Cause(
        origin=Origin.BUTTON,
        actor=event.actor,
        once=happening("press", event.delivery, at.project),
        words=f"{_WORDS[event.action]} under the check of commit {event.sha[:12]}",
    )
    aim = Aim(
        repo_id=event.repo_id,
        project=at.project,
        head_sha=event.sha,
        change=None if change is None else change.number,
        branch=job.branch if job is not None and change is None else "",
        arguments=() if job is None or is_grant else (str(job.number),),
    )
    return command_of(app, cause, aim, verb)


_WORDS = {"rerun": "run again was pressed", "deploy": "deploy was pressed", "approve": "approve was pressed"}


def _queue_again(app: App, event: CheckPressed) -> bool:
    """Ask once more for a merge queue's commit that was answered without a job."""
    with app.database.read() as tx:
        entered = InboxStore(tx).entered(event.repo_id, event.sha)
    return False if entered is None else after_queue(app, replace(entered, delivery=event.delivery))

"""A merge queue waits for a verdict on a commit of its own: each project of the base is answered, or it would stall."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from headway.app import App
from headway.commands.model import Command, Origin, happening
from headway.db import schema
from headway.errors import UsageError
from headway.flow.caused import Aim, Cause, give
from headway.flow.merging import OF_PROJECT, context
from headway.flow.model import JobResult
from headway.flow.outbox import want
from headway.flow.present import job_url
from headway.flow.projects import ProjectAt, projects_at, readable_projects, removed_projects, tip_of
from headway.flow.queue_content import QUEUE
from headway.flow.results import JobResults
from headway.forges.model import QueueEntered, StatusState, WantedStatus
from headway.jobs.store import JobStore


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    state: StatusState
    title: str
    summary: str = ""
    is_neutral: bool = False


def after_queue(app: App, event: QueueEntered) -> bool:
    """Answer for every project of the branch: by what is known of these files already, else by training them.

    The rules are those that stand on the branch, not those of whatever waits before in the queue.
    """
    base = tip_of(app, event.repo_id, event.base_branch) or event.base_sha
    try:
        projects = projects_at(app, event.repo_id, head=event.sha, base=base)
        removed = removed_projects(app, event.repo_id, head=event.sha, base=base)
    except UsageError as error:
        return _unreadable(app, event, base, error)
    for name in removed:
        what = _Said(state=StatusState.FAILURE, title=f"{name} is taken away: its gates cannot be judged")
        _say(app, event, name, what)
    for project in projects:
        _answer(app, event, project)
    return bool(projects or removed)


def _answer(app: App, event: QueueEntered, project: ProjectAt) -> None:
    name = project.spec.name
    if not project.is_touched:
        title = f"nothing of {name} differs from {event.base_branch}"
        _say(app, event, name, _Said(state=StatusState.SUCCESS, title=title, is_neutral=True))
        return
    with app.database.read() as tx:
        judged = _judged(tx, event, project)
    if judged is not None:
        _say_judged(app, event, judged)
        return
    _say(app, event, name, _Said(state=StatusState.PENDING, title="waiting to be trained for the merge queue"))
    named = ", ".join(f"change {number}" for number in event.numbers) or "changes"
    cause = Cause(
        origin=Origin.QUEUE,
        actor=event.actor or "headway",
        once=happening("queue", event.delivery, event.sha, name),
        words=f"the merge queue of {event.base_branch} wants a verdict on {named}",
    )
    aim = Aim(repo_id=event.repo_id, project=name, head_sha=event.sha, branch=f"{QUEUE}{event.base_branch}")
    give(app, cause, aim)


def _judged(tx: Connection, event: QueueEntered, project: ProjectAt) -> JobResult | None:
    """Return a verdict on exactly these files by the rules that hold now; None when there is none."""
    found = JobResults(tx).of_tree(event.repo_id, project.spec.name, project.head_tree.tree)
    for result in found:
        job = JobStore(tx).get(result.job_id)
        rules = JobStore(tx).plan(job.plan_id).project
        is_same = (rules.gates, rules.metrics) == (project.spec.gates, project.spec.metrics)
        if result.verdict is not None and is_same and result.params == dict(project.spec.params):
            return result
    return None


def _say_judged(app: App, event: QueueEntered, result: JobResult) -> None:
    is_good = result.verdict is not None and result.verdict.allows_merge
    outcome = "passed" if is_good else "did not pass"
    _say(
        app,
        event,
        result.project,
        _Said(
            state=StatusState.SUCCESS if is_good else StatusState.FAILURE,
            title=f"the same files {outcome} as job #{result.number}",
            summary=f"The queue's commit has exactly the files of `{result.commit}`: job #{result.number} judged them.",
        ),
        job=(result.job_id, result.number),
    )


def _unreadable(app: App, event: QueueEntered, base: str, error: UsageError) -> bool:
    names = [each.spec.name for each in readable_projects(app, event.repo_id, base)]
    title = error.message.splitlines()[0][:140]
    for name in names:
        _say(app, event, name, _Said(state=StatusState.ERROR, title=title, summary=error.message))
    return bool(names)


def _say(app: App, event: QueueEntered, project: str, said: _Said, *, job: tuple[str, int] | None = None) -> None:
    with app.database.write() as tx:
        if said.state is StatusState.PENDING and _is_begun(tx, event, project):
            return  # told of again: the job's own status stands there
        want(
            tx,
            WantedStatus(
                repo_id=event.repo_id,
                sha=event.sha,
                context=context(project),
                state=said.state,
                title=said.title,
                summary=said.summary,
                url="" if job is None else job_url(app, job[1]),
                external_id=f"{OF_PROJECT}{project}",
                is_neutral=said.is_neutral,
            ),
            app.clock.now(),
        )


def _is_begun(tx: Connection, event: QueueEntered, project: str) -> bool:
    table = schema.job.c
    where = (table.repo_id == event.repo_id, table.commit == event.sha, table.project == project)
    return bool(JobStore(tx).find(*where, limit=1))


def tell_refused(app: App, tx: Connection, command: Command, answer: str) -> None:
    """Conclude the check of a queue's commit that could not be trained: without it the queue would wait for ever."""
    if command.project is None or command.head_sha is None:
        return
    want(
        tx,
        WantedStatus(
            repo_id=command.repo_id,
            sha=command.head_sha,
            context=context(command.project),
            state=StatusState.FAILURE,
            title=answer.splitlines()[0][:140] if answer else "it could not be trained",
            summary=answer,
            external_id=f"{OF_PROJECT}{command.project}",
        ),
        app.clock.now(),
    )

"""The commands that change what is under way: /stop and /override."""

from __future__ import annotations

from sqlalchemy import ColumnElement, select

from headway.app import App
from headway.commands.checks import named_check
from headway.commands.grammar import shown
from headway.commands.model import Answer, Command
from headway.commands.store import CommandStore
from headway.db import schema
from headway.db.events import record
from headway.errors import NotFound, UsageError
from headway.flow.model import JobResult
from headway.flow.named import named_job
from headway.flow.results import JobResults
from headway.flow.settle import judge_again
from headway.gates.model import CheckState
from headway.jobs import advance
from headway.jobs.model import Job
from headway.jobs.store import JobStore

UNFINISHED = ("queued", "running")


def stop(app: App, command: Command) -> str:
    """Cancel the job that is named, or all of this change."""
    with app.database.write() as tx:
        store = JobStore(tx)
        jobs = [named_job(store, command)] if command.arguments else store.find(*_scope(command))
        stopped = [
            job
            for job in jobs
            if advance.cancel(tx, job, f"stopped by {command.actor}", command.actor, app.clock.now())
        ]
        if not stopped:
            raise NotFound("nothing to stop", cause="no job of this change is queued or running")
        answer = "Stopping " + ", ".join(f"job #{job.number} ({job.project})" for job in stopped) + "."
        CommandStore(tx).answer(command.id, answer)
    return answer


def _scope(command: Command) -> list[ColumnElement[bool]]:
    where = [schema.job.c.repo_id == command.repo_id, schema.job.c.state.in_(UNFINISHED)]
    if command.change is not None:
        where.append(schema.job.c.change == command.change)
    if command.project is not None:
        where.append(schema.job.c.project == command.project)
    return where


def override(app: App, command: Command) -> str:
    """Accept one failed check of this head commit knowingly; shown in the report and kept in the events."""
    if command.change is None or not command.arguments:
        raise UsageError("an override names a check of a change and a reason", hint="/override CHECK REASON")
    now = app.clock.now()
    with app.database.write() as tx:
        store = JobStore(tx)
        job, result = _judged(store, JobResults(tx), command)
        if result.verdict is None:
            raise NotFound("there is no verdict to override", hint="/train makes one")
        failing = [each.id for each in result.verdict.checks if each.judged and each.state in _ACCEPTABLE]
        scope = {
            "repo_id": command.repo_id,
            "change": command.change,
            "project": job.project,
            "head_sha": job.commit,
            "base_sha": store.plan(job.plan_id).base_commit,
        }
        known = tx.execute(select(schema.override.c.check).filter_by(**scope)).scalars().all()
        # What is accepted already may be named again: after a crash it was not yet judged anew.
        named = named_check(command, [*failing, *(check for check in known if check not in failing)])
        if isinstance(named, Answer):
            raise UsageError(named.text)
        if named.check not in known:
            values = {"check": named.check, "actor": command.actor, "reason": named.reason, "at": now}
            tx.execute(schema.override.insert().values(**scope, **values))
            record(
                tx,
                "override",
                job.id,
                to_state="accepted",
                reason=f"{named.check}: {named.reason}",
                actor=command.actor,
                at=now,
            )
    judge_again(app, job)
    return f"{shown(named.check)} is accepted for commit `{job.commit[:7]}` on this base and no other: {named.reason}"


_ACCEPTABLE = (CheckState.FAILED, CheckState.MISSING, CheckState.CANNOT_TELL)


def _judged(store: JobStore, results: JobResults, command: Command) -> tuple[Job, JobResult]:
    where = [schema.job.c.repo_id == command.repo_id, schema.job.c.change == command.change]
    if command.project is not None:
        where.append(schema.job.c.project == command.project)
    judged = [
        (job, result)
        for job in store.find(*where, schema.job.c.commit == command.head_sha)
        if (result := results.get(job.id)) is not None
    ]
    # What was tried with other values decides nothing that could be accepted (ADR 0019).
    judged.sort(key=lambda each: bool(store.plan(each[0].plan_id).replaced))
    if judged:
        return judged[0]
    raise NotFound("nothing has been judged at this commit", hint="/train first")

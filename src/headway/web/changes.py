"""Changes: what is proposed, what came of it, and what may be done about it."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection
from starlette.responses import Response

from headway.app import App
from headway.auth.roles import Action, check_allowed
from headway.auth.visible import in_sight
from headway.commands.model import Command, CommandState
from headway.commands.store import CommandStore
from headway.db import schema
from headway.errors import HeadwayError, NotThereYet, UsageError
from headway.flow.deciding import deciding_job
from headway.flow.model import JobResult
from headway.flow.present import command_text
from headway.flow.projects import contexts_for
from headway.flow.repos import get_repo
from headway.flow.results import JobResults
from headway.flow.standing import check_comment
from headway.forges.git_merge import MergeMethod
from headway.forges.local import LocalForge, ShownChange
from headway.forges.model import Change, ChangeState, PostedComment, Repo
from headway.forges.repo_store import RepoStore
from headway.jobs.model import Job
from headway.jobs.store import JobStore
from headway.serving.model import Release, ReleaseState
from headway.serving.store import ReleaseStore
from headway.web.jobs import Line, lines_of, primary_metric
from headway.web.states import sign
from headway.web.told import Told, tell_change
from headway.web.visit import Visit

PAGE = 50
_STATES = ("open", "merged", "closed", "all")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One change in the list, with its newest job of any project."""

    change: Change
    job: Job | None
    outcome: str
    metric: str
    is_stale: bool  # the newest job is of an older commit


@dataclass(frozen=True, slots=True, kw_only=True)
class RepoChanges:
    """The changes of one repository, or why they cannot be read."""

    repo: Repo
    rows: tuple[Listed, ...] = ()
    older: int = 0  # the next page starts below this number; 0 = there is none
    error: HeadwayError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """Whether the change may be merged now, and what stands in the way."""

    is_possible: bool
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A command of this change with its words."""

    command: Command
    text: str


def list_changes(visit: Visit) -> Response:
    """Show the changes of every repository, or of one."""
    state = visit.query.get("state", "open")
    if state not in _STATES:
        raise UsageError(f"state={state!r} is not one of {', '.join(_STATES)}")
    before = visit.number("before", 0, most=10**9)
    with visit.app.database.read() as tx:
        repos = RepoStore(tx).list(*in_sight(visit.principal, schema.repo.c.project))
    wanted = visit.query.get("repo", "")
    found = [
        changes_of(visit.app, repo, state=state, before=before) for repo in repos if not wanted or repo.id == wanted
    ]
    return visit.page("changes.html", repos=found, state=state, states=_STATES, wanted=wanted)


def changes_of(app: App, repo: Repo, *, state: str, before: int = 0) -> RepoChanges:
    """Return one page of a repository's changes; an unreadable repository is a row that says so."""
    try:
        forge = _forge(app, repo)
        changes = forge.list_changes(repo.id, None if state == "all" else ChangeState(state))
    except (HeadwayError, OSError) as error:
        known = error if isinstance(error, HeadwayError) else HeadwayError("the repository cannot be read")
        return RepoChanges(repo=repo, error=known)
    rest = [change for change in changes if not before or change.number < before]
    shown = rest[:PAGE]
    with app.database.read() as tx:
        newest = _newest(tx, repo.id, [change.number for change in shown])
        results = JobResults(tx).of_jobs(job.id for job in newest.values())
    rows = tuple(_listed(change, newest.get(change.number), results) for change in shown)
    return RepoChanges(repo=repo, rows=rows, older=shown[-1].number if len(rest) > PAGE else 0)


def _newest(tx: Connection, repo_id: str, numbers: list[int]) -> dict[int, Job]:
    jobs = JobStore(tx).find(schema.job.c.repo_id == repo_id, schema.job.c.change.in_(numbers), limit=1000)
    found: dict[int, Job] = {}
    for job in jobs:
        if job.change is not None:
            found.setdefault(job.change, job)
    return {number: _decides(tx, job) for number, job in found.items()}


def _decides(tx: Connection, job: Job) -> Job:
    """Return the job whose the required status is, where this one only tried other values (ADR 0019)."""
    if not JobStore(tx).plan(job.plan_id).replaced:
        return job
    return deciding_job(tx, job) or job


def _listed(change: Change, job: Job | None, results: dict[str, JobResult]) -> Listed:
    result = results.get(job.id) if job else None
    outcome = result.verdict.outcome.value if result and result.verdict else job.state.value if job else ""
    return Listed(
        change=change,
        job=job,
        outcome=outcome,
        metric=primary_metric(result),
        is_stale=job is not None and job.commit != change.head_sha,
    )


def show(visit: Visit) -> Response:
    """Show one change: verdict first, then its jobs, its release, and what may be done."""
    app, repo = visit.app, get_repo(visit.app, visit.path["repo"])
    shown = _forge(app, repo).show(repo.id, visit.path["number"])
    change = shown.change
    with app.database.read() as tx:
        jobs = JobStore(tx).find(schema.job.c.repo_id == repo.id, schema.job.c.change == change.number, limit=200)
        told = _told(app, tx, change, jobs)
        lines = lines_of(tx, jobs)
        asked = CommandStore(tx).of_change(repo.id, change.number)
        releases = ReleaseStore(tx).find(
            schema.release.c.repo_id == repo.id, schema.release.c.change == change.number, limit=20
        )
    unfinished = any(not job.state.is_final or job.settled_at is None for job in jobs)
    is_busy = unfinished or any(each.state is CommandState.ACCEPTED for each in asked) or _moves(releases)
    return visit.page(
        "change_live.html" if visit.is_part else "change.html",
        repo=repo,
        change=change,
        told=told,
        jobs=lines,
        columns=_columns(lines),
        releases=releases,
        commands=[Asked(command=each, text=command_text(each)) for each in reversed(asked[-20:])],
        comments=_conversation(shown.comments),
        statuses=shown.statuses,
        merge=_merge(app, shown),
        is_running=unfinished,
        is_waiting=any(release.state is ReleaseState.WAITING for release in releases),
        every=2 if is_busy else 15,
    )


def _told(app: App, tx: Connection, change: Change, jobs: list[Job]) -> list[Told]:
    """Return each project's report that decides about the merge, those of the head commit first."""
    newest: dict[str, Job] = {}
    for job in jobs:
        known = newest.get(job.project)
        if known is None or (known.commit != change.head_sha and job.commit == change.head_sha):
            newest[job.project] = job
    found = [tell_change(app, tx, _decides(tx, job), head=change.head_sha) for job in newest.values()]
    return sorted(found, key=lambda each: (each.is_stale, each.job.project))


def _columns(lines: list[Line]) -> list[str]:
    """Return the metrics of the table: what the newest judged job is judged by."""
    for line in lines:
        if line.declared:
            return list(line.declared[:4])
    return sorted({name for line in lines for name in line.metrics})[:4]


def _moves(releases: list[Release]) -> bool:
    return any(not release.state.is_final for release in releases)


def _conversation(comments: tuple[PostedComment, ...]) -> list[PostedComment]:
    """Return what people said and what was answered; the living report stands above, in full."""
    return [each for each in comments if not (each.is_ours and "headway:report" in each.body[:100])]


def _merge(app: App, shown: ShownChange) -> Merge:
    change = shown.change
    if change.state is not ChangeState.OPEN:
        return Merge(is_possible=False, reasons=(f"it is {change.state.value}",))
    try:
        required = contexts_for(app, change)
    except HeadwayError as error:
        return Merge(is_possible=False, reasons=(error.message,))
    states = {status.context: status.state.value for status in shown.statuses}
    open_ones = [
        f"{name} is {sign(states[name]).word if name in states else 'not there'}"
        for name in required
        if states.get(name) != "success"
    ]
    return Merge(is_possible=not open_ones, reasons=tuple(open_ones))


def comment(visit: Visit) -> Response:
    """Say something as the visitor; commands in it are read like those of any comment."""
    check_allowed(visit.principal, Action.COMMENT)
    repo = get_repo(visit.app, visit.path["repo"])
    number, body = visit.path["number"], visit.form.get("body", "").replace("\r\n", "\n")
    forge = _forge(visit.app, repo)
    check_comment(visit.app, visit.principal, forge.get_change(repo.id, number), body)
    forge.add_comment(repo.id, number, author=visit.principal.user, body=body)
    return visit.go(f"/changes/{repo.id}/{number}#conversation")


def merge(visit: Visit) -> Response:
    """Merge the commit that the page showed, when everything required is green."""
    check_allowed(visit.principal, Action.MERGE)
    repo = get_repo(visit.app, visit.path["repo"])
    forge = _forge(visit.app, repo)
    change = forge.get_change(repo.id, visit.path["number"])
    forge.merge(
        repo.id,
        change.number,
        actor=visit.principal.user,
        method=MergeMethod.MERGE,
        required=contexts_for(visit.app, change),
        head_sha=visit.form.get("head") or change.head_sha,
    )
    return visit.go(f"/changes/{repo.id}/{change.number}")


def _forge(app: App, repo: Repo) -> LocalForge:
    forge = app.forge(repo.forge)
    if not isinstance(forge, LocalForge):
        raise NotThereYet("changes of this forge are worked on at the forge itself", hint="open its web page")
    return forge

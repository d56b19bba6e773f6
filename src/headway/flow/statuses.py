"""The required status of a project at a commit, said from its report: state, title, evidence and buttons."""

from __future__ import annotations

from headway.flow.merging import context
from headway.forges.model import StatusButton, StatusState, WantedStatus
from headway.gates.model import Check, CheckState
from headway.jobs.model import Job, JobState
from headway.projects.model import ProjectSpec
from headway.reports.escape import code_span, inline
from headway.reports.model import Report, ReportState, ReportView
from headway.reports.numbers import about, count
from headway.reports.wording import blocks, judged, worst_first
from headway.serving.model import ReleaseState

_STATES = {
    ReportState.PLANNED: StatusState.PENDING,
    ReportState.QUEUED: StatusState.PENDING,
    ReportState.RUNNING: StatusState.PENDING,
    ReportState.PASSED: StatusState.SUCCESS,
    ReportState.FAILED: StatusState.FAILURE,
    ReportState.CRASHED: StatusState.ERROR,
    ReportState.CANCELLED: StatusState.CANCELLED,
    ReportState.SUPERSEDED: StatusState.CANCELLED,
}
_MOST_CHECKS = 20

RERUN = StatusButton(label="Re-run", description="Train this commit again", action="rerun")
DEPLOY = StatusButton(label="Deploy", description="Release this model", action="deploy")
APPROVE = StatusButton(label="Approve", description="Let the waiting release go on", action="approve")


def status_of(job: Job, view: ReportView, report: Report, project: ProjectSpec) -> WantedStatus:
    """Return what stands at the job's commit; `report` was rendered from `view` without anything secret."""
    state = _state(job, view)
    is_over = state is not StatusState.PENDING
    return WantedStatus(
        repo_id=job.repo_id,
        sha=job.commit,
        context=context(job.project),
        state=state,
        title=report.headline if is_over else _live_title(view, report),
        summary=_summary(view),
        text=report.body.partition("\n")[2].strip(),  # without the marker: only the comment is found by it
        url=view.url,
        external_id=job.id,
        is_started=not is_over and job.started_at is not None,
        started_at=job.started_at,
        finished_at=job.finished_at if is_over else None,
        buttons=_buttons(view, project, state) if is_over else (),
    )


def _state(job: Job, view: ReportView) -> StatusState:
    """Success only for a job that succeeded with a verdict that allows the merge: whatever is missing is no success."""
    state = _STATES.get(view.state)
    is_green = view.verdict is not None and view.verdict.allows_merge
    if state is None:
        # A release says nothing about whether the change may be merged: the verdict does.
        state = StatusState.SUCCESS if is_green else StatusState.FAILURE
    if state is StatusState.SUCCESS and (job.state is not JobState.SUCCEEDED or not is_green):
        return StatusState.ERROR
    return state


def _live_title(view: ReportView, report: Report) -> str:
    if view.seconds_left is None or view.seconds_left < 1 or view.state is not ReportState.RUNNING:
        return report.headline
    return f"{report.headline}, {about(view.seconds_left)} left"


def _buttons(view: ReportView, project: ProjectSpec, state: StatusState) -> tuple[StatusButton, ...]:
    found = [RERUN]
    release = view.release
    if release is not None and release.state is ReleaseState.WAITING:
        found.append(APPROVE)
    elif state is StatusState.SUCCESS and project.deploy is not None and (release is None or release.state.is_final):
        found.append(DEPLOY)
    return tuple(found)


def _summary(view: ReportView) -> str:
    who = f"{code_span(view.command, limit=200)} by {inline(view.actor, limit=100)}"
    lines = [f"Job #{view.number} of {who} at {code_span(view.commit[:12])}."]
    if view.verdict is not None:
        found = judged(view.verdict)
        failing = [check for check in found if blocks(check)]
        passed = len(found) - len(failing)
        lines.append(f"{count(passed, 'gate')} of {len(found)} allow the merge." if found else "No gate was judged.")
        lines += [_line(check) for check in worst_first(failing)[:_MOST_CHECKS]]
        accepted = [check for check in found if check.state is CheckState.OVERRIDDEN]
        lines += [f"- {code_span(each.id)} was accepted by {inline(each.overridden_by)}" for each in accepted]
    elif view.crash is not None:
        lines.append(f"Step {code_span(view.crash.task)} ended badly: {inline(view.crash.reason, limit=300)}")
    elif view.reason:
        lines.append(inline(view.reason, limit=300))
    return "\n\n".join(lines[:2]) + ("\n\n" + "\n".join(lines[2:]) if lines[2:] else "")


def _line(check: Check) -> str:
    return f"- {code_span(check.id)} {check.state.value}: {inline(check.message, limit=300)}"

"""The first line: the verdict in words, fit for the subject of a mail."""

from __future__ import annotations

from headway.gates.model import Check, CheckState, Outcome, Verdict
from headway.reports.document import Spans, code, joined, say
from headway.reports.model import ReportState, ReportView, TaskView
from headway.reports.numbers import about, clock, count, decimals, delta, duration, money, number
from headway.reports.wording import (
    against,
    blocks,
    change_of,
    check_name,
    judged,
    places_of,
    primary_row,
    true_state,
    worst_first,
)
from headway.serving.model import Release, ReleaseState

SHORT = 7
"""Characters of a commit that people read."""

LIVE = ("running", "collecting")


def headline(view: ReportView) -> Spans:
    """One line per state; what it says is what the required status says."""
    words = {
        ReportState.PLANNED: _planned,
        ReportState.QUEUED: _queued,
        ReportState.RUNNING: _running,
        ReportState.PASSED: _passed,
        ReportState.FAILED: _failed,
        ReportState.CRASHED: _crashed,
        ReportState.CANCELLED: _cancelled,
        ReportState.SUPERSEDED: _superseded,
        ReportState.DEPLOYED: _deployed,
        ReportState.ROLLED_BACK: _rolled_back,
    }
    return words[true_state(view)](view)


def _planned(view: ReportView) -> Spans:
    again = sum(task.state == "reused" for task in view.tasks)
    runs = len(view.tasks) - again
    parts = [f"{count(runs, 'step')} to run" if runs else "nothing to run, everything is there"]
    if again:
        parts.append(f"{again} reused")
    seconds = sum(task.expected_seconds or 0 for task in view.tasks)
    if seconds:
        parts.append(about(seconds))
    costs = [task.expected_cost for task in view.tasks if task.expected_cost is not None]
    if costs:
        parts.append(money(sum(costs), view.currency))
    return say(f"🧭 {view.project}: plan for ", code(view.commit[:SHORT]), f": {', '.join(parts)}")


def _queued(view: ReportView) -> Spans:
    if view.queue_position is None or view.queue_position < 1:
        return say(f"⏳ {view.project}: waiting to start")
    if view.queue_position == 1:
        return say(f"⏳ {view.project}: waiting, next in the queue")
    return say(f"⏳ {view.project}: waiting, number {view.queue_position:,} in the queue")


def _running(view: ReportView) -> Spans:
    spent = f" ({duration(view.seconds)})" if view.seconds is not None else ""
    current = current_task(view)
    if current is None:
        return say(f"⏳ {view.project}: running{spent}")
    position = f", step {view.tasks.index(current) + 1} of {len(view.tasks)}" if len(view.tasks) > 1 else ""
    return say(f"⏳ {view.project}: running ", code(current.name), f"{position}{spent}")


def current_task(view: ReportView) -> TaskView | None:
    """The first task that is at work."""
    return next((task for task in view.tasks if task.state in LIVE), None)


def _passed(view: ReportView) -> Spans:
    verdict = view.verdict
    accepted = [check for check in verdict.checks if check.state is CheckState.OVERRIDDEN] if verdict else []
    warned = _warnings(verdict) if verdict else 0
    ready = "ready to merge" if view.is_change else "passed"
    if accepted:
        people = ", ".join(dict.fromkeys(check.overridden_by for check in accepted))
        ready += f", {count(len(accepted), 'failed check')} accepted by {people}"
    if warned:
        ready += f", {count(warned, 'warning')}"
    trained = ", already trained" if view.already_trained else ""
    return (*say(f"✅ {view.project}: {ready}{trained}"), *_moved(view))


def _warnings(verdict: Verdict) -> int:
    passed = (CheckState.PASSED, CheckState.OVERRIDDEN)
    return sum(check.state not in passed and not blocks(check) for check in judged(verdict))


def _moved(view: ReportView) -> Spans:
    """The primary metric and how far it is from the baseline."""
    row = primary_row(view)
    if row is None or row.candidate is None:
        return ()
    change, places = change_of(row), places_of(row)
    start = say(". ", code(row.name), f" {number(row.candidate, places)}")
    if change is None:
        return (*start, *say(", no baseline yet: this run becomes it"))
    text = delta(change, places)
    if text == "0":
        return (*start, *say(f", unchanged against {view.baseline_label or 'the baseline'}"))
    return (*start, *say(f", {text} {against(view, row.name, change)}"))


def _failed(view: ReportView) -> Spans:
    verdict = view.verdict
    if verdict is None:
        return say(f"❌ {view.project}: not ready. There is no verdict, and missing evidence is not success")
    failing = [check for check in verdict.checks if blocks(check)]
    icon = "❔" if verdict.outcome is Outcome.CANNOT_TELL else "❌"
    if not failing and verdict.withheld:
        said = "cannot tell," if view.is_change else "gates passed, but"
        return (*say(f"{icon} {view.project}: {said} {verdict.withheld}"), *_moved(view))
    if not failing:
        return say(f"{icon} {view.project}: not ready. ", verdict.notes[0] if verdict.notes else "There is no evidence")
    said = "failed" if verdict.outcome is Outcome.FAIL else "cannot be judged"
    total = len(judged(verdict))
    gates = "The only gate" if total == 1 else f"{len(failing)} of {total} gates"
    start = say(f"{icon} {view.project}: not ready. {gates} {said}: ")
    first = worst_first(failing)[0]
    return (*start, *check_name(first), *say(f" {_reason(first)}"))


def _reason(check: Check) -> str:
    """Why it failed, in a few words; all of it stands in the table."""
    if check.state is CheckState.MISSING:
        return f"has no evidence, {check.message}" if check.message else "has no evidence"
    if check.change is not None and "worse by" in check.message:
        places = decimals(check.candidate, check.baseline)
        moved = f"{'fell' if check.change < 0 else 'rose'} by {number(abs(check.change), places)}"
        return moved if check.state is not CheckState.CANNOT_TELL else f"{moved}, not surely beyond the limit"
    return f"is {check.message}" if check.message[:1].isdigit() else check.message.split(" (")[0]


def _crashed(view: ReportView) -> Spans:
    crash = view.crash
    if crash is None:
        why = f": {view.reason}" if view.reason else ""
        return say(f"💥 {view.project}: job #{view.number} failed and made no model{why}")
    after = f" after {duration(crash.seconds)}"
    return say(f"💥 {view.project}: run crashed in step ", code(crash.task), f"{after}. No model was made")


def _cancelled(view: ReportView) -> Spans:
    return say(f"⏹️ {view.project}: job #{view.number} was cancelled", f": {view.reason}" if view.reason else "")


def _superseded(view: ReportView) -> Spans:
    by = f" by {view.superseded_by}" if view.superseded_by else " by a newer commit"
    return say(f"⏭️ {view.project}: job #{view.number} was replaced{by}. Its result no longer counts")


def _deployed(view: ReportView) -> Spans:
    release = view.release
    if release is None:
        return say(f"🚀 {view.project}: a release is under way")
    name = f"{release.model} v{release.version}"
    return say(f"{_release_mark(release)} {name} {_release_words(release)}")


def _release_mark(release: Release) -> str:
    if release.state in (ReleaseState.FAILED, ReleaseState.REFUSED):
        return "❌"
    return "✋" if release.state is ReleaseState.WAITING else "🚀"


def _release_words(release: Release) -> str:
    stage = release.stages[-1] if release.stages else None
    place = release.environment
    reason = f": {release.reason}" if release.reason else ""
    if release.state is ReleaseState.PROMOTED:
        since = stage.since if stage else release.finished_at
        return f"serves 100 % of {place}" + (f" since {clock(since)}" if since else "")
    if release.state is ReleaseState.CANARY:
        weight = stage.weight if stage else 0
        return f"is a canary at {weight} % of {place}"
    words = {
        ReleaseState.PENDING: "is about to be released",
        ReleaseState.STAGING: "is being tested in staging",
        ReleaseState.WAITING: f"passed staging and waits for approval to enter {place}",
        ReleaseState.LOADING: f"loads beside the version that serves {place}",
        ReleaseState.ROLLING_BACK: f"is being rolled back{reason}",
        ReleaseState.FAILED: f"was not released{reason}. {_still_there(release)}",
        ReleaseState.REFUSED: f"was refused{reason}. {_still_there(release)}",
    }
    return words.get(release.state, str(release.state.value))


def _still_there(release: Release) -> str:
    if release.previous is None:
        return f"Nothing serves {release.environment}"
    return f"v{release.previous} keeps serving {release.environment}"


def _rolled_back(view: ReportView) -> Spans:
    release = view.release
    if release is None:
        return say(f"⏪ {view.project}: the release was rolled back")
    name = f"{release.model} v{release.version}"
    if release.state is ReleaseState.ROLLING_BACK:
        return say(f"⏪ {name} {_release_words(release)}")
    back = f" to v{release.previous}" if release.previous is not None else ", nothing serves in its place"
    at = f" at {clock(release.finished_at)}" if release.finished_at else ""
    return joined([say(f"⏪ {name} was rolled back{back}{at}"), say(release.reason)], ": ")

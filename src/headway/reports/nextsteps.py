"""What a reader can do next, as commands that can be copied."""

from __future__ import annotations

from headway.reports.document import Block, Paragraph, Spans, code, joined, say
from headway.reports.model import ReportState, ReportView
from headway.reports.wording import blocks, worst_first
from headway.serving.model import ReleaseState

_MOST_OVERRIDES = 2


def next_steps(view: ReportView, state: ReportState) -> list[Block]:
    """The project's own next step, then the commands of this state."""
    lines: list[Spans] = []
    if view.next_step and state in (ReportState.PASSED, ReportState.PLANNED):
        lines.append(_with_code(view.next_step))
    if state is ReportState.FAILED and not (view.verdict and view.verdict.withheld):
        lines += _overrides(view)
    commands = _commands(view, state)
    if commands:
        lines.append(commands)
    return [Paragraph(spans=line) for line in lines]


def _with_code(text: str) -> Spans:
    """Words between backticks stay code; the text is our own server's."""
    parts = text.split("`")
    return say(*(code(part) if index % 2 else part for index, part in enumerate(parts)))


def _overrides(view: ReportView) -> list[Spans]:
    checks = worst_first([check for check in (view.verdict.checks if view.verdict else ()) if blocks(check)])
    if not checks:
        return []
    words = [say(code(f"/override {quoted(check.id)} REASON")) for check in checks[:_MOST_OVERRIDES]]
    start = say("To accept this knowingly, as a maintainer: ")
    return [(*start, *joined(words, " or "), *say(" (kept in the audit log)."))]


def quoted(word: str) -> str:
    """A word of a comment, in quotes where it holds spaces."""
    if not any(each in word for each in " \"'="):
        return word
    inner = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{inner}"'


def _commands(view: ReportView, state: ReportState) -> Spans:
    if state in (ReportState.DEPLOYED, ReportState.ROLLED_BACK):
        return _release_commands(view)
    if state is ReportState.CRASHED:
        return _crash_commands(view)
    offered = {
        ReportState.PLANNED: ("/train",),
        ReportState.QUEUED: ("/stop",),
        ReportState.RUNNING: ("/stop",),
        ReportState.PASSED: (*(("/deploy",) if view.is_deployable else ()), "/train", "/plan"),
        ReportState.FAILED: ("/train", "/plan"),
        ReportState.CANCELLED: ("/retry",),
        ReportState.SUPERSEDED: ("/train",),
    }
    words = [say(code(f"{verb}{_suffix(view)}")) for verb in offered[state]]
    before = {ReportState.PLANNED: "Start it: ", ReportState.QUEUED: "Take it back: ", ReportState.RUNNING: "Stop it: "}
    return (*say(before.get(state, "Commands: ")), *joined(words, " · "))


def _suffix(view: ReportView) -> str:
    return f" --project {view.project}" if view.names_project else ""


def _crash_commands(view: ReportView) -> Spans:
    step = f" --step {view.crash.task}" if view.crash else ""
    log = code(f"headway logs {view.number}{step}")
    return say("Whole log in the terminal: ", log, " · try again unchanged: ", code(f"/retry{_suffix(view)}"))


def _release_commands(view: ReportView) -> Spans:
    release = view.release
    if release is None:
        return ()
    if release.state is ReleaseState.WAITING:
        needs = f" (it needs {view.release_needs})" if view.release_needs else ""
        return say("Let it in: ", code(f"/approve{_suffix(view)}"), needs)
    if release.state in (ReleaseState.PROMOTED, ReleaseState.CANARY):
        before = f"Before: v{release.previous}. " if release.previous is not None else ""
        return say(
            f"{before}Roll back: ",
            code(f"/rollback{_suffix(view)}"),
            ", or ",
            code(f"headway rollback {release.environment}"),
        )
    if release.state.is_final:
        return say("Try again: ", code(f"/deploy {view.number}{_suffix(view)}"))
    return say("Call it off: ", code(f"/rollback{_suffix(view)}"))

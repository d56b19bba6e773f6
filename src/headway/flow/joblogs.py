"""A job's log: the lines of its attempts one after the other, from the engines that ran them."""

from __future__ import annotations

from dataclasses import dataclass

from headway.app import App
from headway.auth.secrets import SecretStore
from headway.jobs.model import Attempt, Job
from headway.jobs.store import JobStore
from headway.reports.escape import redact


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPage:
    """Some lines, where the next ones start, and whether more will come."""

    lines: tuple[str, ...]
    next: int
    is_final: bool


def read_logs(app: App, job: Job, *, task: str | None, offset: int, limit: int) -> LogPage:
    """Return the lines of one task's newest attempt, or of all tasks, from the `offset`-th line on."""
    with app.database.read() as tx:
        store = JobStore(tx)
        tasks = [each for each in store.tasks(job.id) if task is None or each.name == task]
        attempts = {each.id: store.attempts([each.id]) for each in tasks}
        hidden = SecretStore(tx).all_values(job.repo_id)
    lines: list[str] = []
    seen = 0
    for each in tasks:
        for attempt in attempts[each.id][-1:]:
            prefix = "" if task is not None else f"{each.name} | "
            for text in _lines(app, attempt):
                if seen >= offset and len(lines) < limit:
                    lines.append(prefix + redact(text, hidden))
                seen += 1
    return LogPage(lines=tuple(lines), next=offset + len(lines), is_final=job.state.is_final)


def tail(app: App, attempt: Attempt, count: int) -> tuple[str, ...]:
    """Return the last lines of one attempt."""
    return tuple(_lines(app, attempt)[-count:])


def _lines(app: App, attempt: Attempt) -> list[str]:
    if attempt.handle is None:
        return []
    return [line.text for line in app.engine(attempt.engine).logs(attempt.handle)]

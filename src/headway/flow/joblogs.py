"""A job's log: the lines of its attempts one after the other, from the engines that ran them."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from headway.app import App
from headway.auth.secrets import SecretStore
from headway.engines.base import LogLine
from headway.engines.delivered import LOG
from headway.engines.lines import read_lines
from headway.errors import UsageError
from headway.jobs.model import Attempt, Job
from headway.jobs.store import JobStore
from headway.reports.escape import redact

_OFFSET = re.compile(r"[0-9]{1,15}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPage:
    """Some lines, the cursor that continues after them, and whether the job has ended."""

    lines: tuple[str, ...]
    next: str
    is_final: bool


def read_logs(app: App, job: Job, *, task: str | None, cursor: str, limit: int) -> LogPage:
    """Return what the newest attempts of the job's tasks (or of one) have said since `cursor` ("" = all).

    Lines of several tasks carry their task's name. Secrets of the repository are blacked out.
    """
    with app.database.read() as tx:
        store = JobStore(tx)
        tasks = [each for each in store.tasks(job.id) if task is None or each.name == task]
        attempts = {each.name: store.attempts([each.id])[-1:] for each in tasks}
        hidden = SecretStore(tx).all_values(job.repo_id)
    places = _places(cursor)
    lines: list[str] = []
    for each in tasks:
        prefix = f"{each.name} | " if task is None and len(tasks) > 1 else ""
        for attempt in attempts[each.name]:
            place = places.get(attempt.id, 0)
            for line in _after(app, attempt, place):
                if len(lines) >= limit:
                    break
                lines.append(prefix + redact(line.text, hidden))
                place = line.next_offset
            places[attempt.id] = place
    # A full page may have more behind it, also of a job that has ended.
    return LogPage(lines=tuple(lines), next=_cursor(places), is_final=job.state.is_final and len(lines) < limit)


def _places(cursor: str) -> dict[str, int]:
    """Byte offsets by attempt: "ID:12,ID:340"."""
    found: dict[str, int] = {}
    for part in filter(None, cursor.split(",")):
        attempt, _, offset = part.partition(":")
        if not _OFFSET.fullmatch(offset):
            raise UsageError(f"cursor={cursor[:80]!r} is no cursor", hint="pass on the `next` of the page before")
        found[attempt] = int(offset)
    return found


def _cursor(places: dict[str, int]) -> str:
    return ",".join(f"{attempt}:{offset}" for attempt, offset in places.items())


def tail(app: App, attempt: Attempt, count: int) -> tuple[str, ...]:
    """Return the last lines of one attempt."""
    return tuple(line.text for line in deque(_after(app, attempt, 0), maxlen=count))


def _after(app: App, attempt: Attempt, offset: int) -> Iterator[LogLine]:
    if attempt.handle is None:
        return iter(())
    if attempt.engine not in app.engines:  # not set up any more: what it brought is still here
        return read_lines(Path(attempt.directory) / LOG, offset, ended=True)
    return app.engine(attempt.engine).logs(attempt.handle, offset)

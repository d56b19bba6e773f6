"""Why a job ended badly: the task, its last lines, and what to do about it."""

from __future__ import annotations

import contextlib
import signal

from headway.app import App
from headway.auth.secrets import SecretStore
from headway.environments.missing import missing_import_hint
from headway.flow.crash_hints import first_day_hint
from headway.flow.joblogs import tail
from headway.flow.repos import git_at
from headway.jobs.model import Job, Task, TaskState
from headway.jobs.store import JobStore
from headway.pipelines.model import TaskSpec
from headway.planning.model import Plan
from headway.reports.escape import redact
from headway.reports.model import CrashView

TAIL = 20

_HINTS = {
    "memory": "give the step more with resources: {memory: ...}, or use less",
    "time limit": "give the step a longer timeout:, or make it faster",
    "disk": "write less, or raise HEADWAY_ATTEMPT_DISK_MB on the server",
    "processes": "start fewer processes; a fork without end was stopped",
}


_NO_ROOM = ("[Errno 27]", "[Errno 28]", "File too large", "No space left on device")


def crash_of(app: App, job: Job, plan: Plan) -> CrashView | None:
    """Return the first failed task of a job with its tail and a hint; None when none failed (cancelled)."""
    with app.database.read() as tx:
        store = JobStore(tx)
        task = next((each for each in store.tasks(job.id) if each.state is TaskState.FAILED), None)
        if task is None:
            return None
        attempts = store.attempts([task.id])
        hidden = SecretStore(tx).all_values(job.repo_id)
    lines = tuple(redact(line, hidden) for line in tail(app, attempts[-1], TAIL)) if attempts else ()
    spec = next(each.spec for each in plan.tasks if each.spec.name == task.name)
    text, files = "\n".join(lines), _project_files(app, job, spec)
    hint = missing_import_hint(
        text,
        spec.env,
        spec.root,
        project_files=files,
        changed="in this change" if job.change is not None else "",
    ) or first_day_hint(text, project_files=files)
    if not hint:
        hint = next((text for word, text in _HINTS.items() if word in task.reason), "") or _guess(task, lines)
    seconds = (task.finished_at - task.started_at).total_seconds() if task.started_at and task.finished_at else 0.0
    return CrashView(
        task=task.name,
        exit_code=task.exit_code,
        reason=task.reason,
        attempt=task.attempts,
        attempts=task.max_attempts,
        seconds=seconds,
        tail=lines,
        hint=hint.replace("`", ""),  # shown as plain text, where marks would stand as they are
    )


def _guess(task: Task, lines: tuple[str, ...]) -> str:
    """Say what an exit code or a last line usually means."""
    if any(word in line for line in lines[-5:] for word in _NO_ROOM):
        return f"it came to the end of its disk: {_HINTS['disk']}"
    code = task.exit_code or 0
    if code == 128 + signal.SIGKILL:
        return "SIGKILL from outside: most often this machine ran out of memory; set resources: {memory: ...}"
    with contextlib.suppress(ValueError):
        return f"signal {signal.Signals(code - 128).name} ended it" if code > 128 else ""
    return ""


def _project_files(app: App, job: Job, spec: TaskSpec) -> tuple[str, ...]:
    prefix = f"{spec.root}/" if spec.root else ""
    files = git_at(app, job.repo_id, spec.commit).list_files(spec.commit, spec.root)
    return tuple(each.path.removeprefix(prefix) for each in files)

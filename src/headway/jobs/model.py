"""Jobs, tasks and attempts as recorded, and the states they may be in (reliability.md)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from headway.planning.model import OutputFile


class JobState(StrEnum):
    """queued -> running -> one of the final four."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    REFUSED = "refused"

    @property
    def is_final(self) -> bool:
        """Whether there is no exit from it."""
        return self not in (JobState.QUEUED, JobState.RUNNING)


class TaskState(StrEnum):
    """pending -> ready -> running -> collecting -> final; reuse goes straight from ready."""

    PENDING = "pending"  # waits for what it needs
    READY = "ready"  # may be prepared: environment, source, inputs
    RUNNING = "running"  # an attempt exists
    COLLECTING = "collecting"  # its code ended well; outputs and run are being gathered
    SUCCEEDED = "succeeded"
    REUSED = "reused"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"  # something it needs did not succeed

    @property
    def is_final(self) -> bool:
        """Whether there is no exit from it."""
        return self in _FINAL

    @property
    def is_good(self) -> bool:
        """Whether its outputs may be used."""
        return self in (TaskState.SUCCEEDED, TaskState.REUSED)


_FINAL = frozenset(
    {TaskState.SUCCEEDED, TaskState.REUSED, TaskState.FAILED, TaskState.CANCELLED, TaskState.SKIPPED},
)


class AttemptState(StrEnum):
    """launching -> running -> one of the final five."""

    LAUNCHING = "launching"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    LOST = "lost"

    @property
    def is_final(self) -> bool:
        """Whether there is no exit from it."""
        return self not in (AttemptState.LAUNCHING, AttemptState.RUNNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One execution of one plan."""

    id: str
    number: int  # small, per server: what people say ("job #412" in the report)
    repo_id: str
    project: str
    plan_id: str
    command_id: str
    change: int | None
    commit: str
    branch: str
    tier: int
    actor: str
    engine: str
    state: JobState
    reason: str
    desired: str  # run | cancel
    version: int
    queued_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    settled_at: datetime | None = None
    superseded_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One task of a job."""

    id: str
    job_id: str
    name: str
    position: int
    needs: tuple[str, ...]
    state: TaskState
    reason: str
    version: int
    attempts: int  # how many were started
    max_attempts: int
    next_at: datetime | None  # backoff: not before
    exact_key: str | None
    run_id: str | None
    outputs: tuple[OutputFile, ...]
    exit_code: int | None
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try of one task."""

    id: str
    task_id: str
    number: int
    fence: int
    engine: str
    handle: str | None
    nonce: str
    state: AttemptState
    isolation: int | None
    exit_code: int | None
    reason: str
    started_at: datetime | None
    finished_at: datetime | None
    directory: str

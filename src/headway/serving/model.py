"""The wanted state of a deployment, what is observed of it, and a release: one change of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Annotated

import msgspec

from headway.projects.model import DeploySpec

# What comes from a pod is what a model says of itself: no figure that cannot be.
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_Millis = Annotated[float, msgspec.Meta(ge=0, le=1e12)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A version and the share of requests that reaches it."""

    model: str
    version: int
    weight: int  # percent
    source: str  # folder of the model files
    digest: str
    env_path: str
    variables: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """What shall serve under one name; `revision` grows with every change."""

    name: str  # "<project>-<environment>"
    project: str
    environment: str
    target: str  # local | command | kubernetes
    routes: tuple[Route, ...]
    revision: int
    spec: DeploySpec
    port: int = 0  # where the endpoint listens; 0 = chosen at first apply, then kept
    workdir: str = ""  # target `command`: a checkout of the base branch, where the team's script stands


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionCounters:
    """What one version has answered since `since`."""

    version: Annotated[int, msgspec.Meta(ge=0, le=2**31)]
    requests: _Count
    errors: _Count
    missing: _Count  # answers with null or NaN, or none at all
    latency_p50_ms: _Millis
    latency_p95_ms: _Millis
    latency_p99_ms: _Millis


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What a target sees."""

    ready: bool
    url: str
    revision: int  # the newest one that is fully in force
    versions: dict[int, str] = field(default_factory=dict)  # version -> loading | ready | failed: reason
    counters: tuple[VersionCounters, ...] = ()
    message: str = ""


class ReleaseState(StrEnum):
    """pending -> staging -> (waiting ->) canary -> promoted; or rolling_back -> rolled_back, failed."""

    PENDING = "pending"
    STAGING = "staging"  # loads in staging and is tested there
    WAITING = "waiting"  # for approval
    LOADING = "loading"  # loads beside the production version, no traffic yet
    CANARY = "canary"
    PROMOTED = "promoted"
    ROLLING_BACK = "rolling_back"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"  # never got traffic
    REFUSED = "refused"

    @property
    def is_final(self) -> bool:
        """Whether there is no exit from it."""
        return self in (
            ReleaseState.PROMOTED,
            ReleaseState.ROLLED_BACK,
            ReleaseState.FAILED,
            ReleaseState.REFUSED,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRecord:
    """One stage of a rollout as it went, for the report."""

    stage: str  # staging | canary | full
    weight: int
    since: datetime
    requests: int = 0
    error_rate: float | None = None
    latency_p95_ms: float | None = None
    result: str = ""  # "" while it lasts, passed, failed: why


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One change of a deployment, from request to its end."""

    id: str
    project: str
    repo_id: str
    environment: str
    model: str
    version: int
    previous: int | None
    command_id: str
    change: int | None
    commit: str
    requested_by: str
    approved_by: tuple[str, ...]
    state: ReleaseState
    reason: str
    step: int  # index in the canary steps
    stages: tuple[StageRecord, ...]
    test_output: str  # answers, confidence and time of the team's own test
    version_no: int  # row version for conditional updates
    created_at: datetime
    finished_at: datetime | None = None
    job_id: str = ""  # whose model it is
    spec: DeploySpec | None = None  # the default branch's rules when it was asked for; they do not move under it
    rules_commit: str = ""  # the commit that they, the team's test and its scripts come from

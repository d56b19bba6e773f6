"""Registered models, their versions and where they came from; logged models, which runs make."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

PROMPT_TAG = "mlflow.prompt.is_prompt"
STAGES = ("None", "Staging", "Production", "Archived")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """Where a version came from, as far back as it is known; empty strings where it is not."""

    run_id: str = ""
    job_id: str = ""
    project: str = ""
    repo_id: str = ""
    commit: str = ""
    tree: str = ""
    change: int | None = None
    actor: str = ""  # whose command trained it
    approved_by: str = ""
    data: dict[str, str] = field(default_factory=dict)  # data set -> digest


class VersionState(StrEnum):
    """How far a version has come; only forward, but for what a rollback archives and a redeploy wakes."""

    CANDIDATE = "candidate"
    RELEASED = "released"
    ARCHIVED = "archived"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVersion:
    """A registry entry."""

    model: str
    number: int
    run_id: str
    source: str  # key of the model folder in the artifact blob store
    digest: str  # of the folder: paths and bytes
    env_digest: str
    env_path: str
    state: str  # candidate | released | archived
    aliases: tuple[str, ...]
    created_by: str
    created_at: datetime
    lineage: Lineage = field(default_factory=Lineage)
    # What MLflow's client writes and reads.
    source_uri: str = ""  # as it was given; never opened, `source` was parsed from it once
    description: str | None = None
    stage: str = "None"
    status: str = "READY"
    run_link: str = ""
    model_id: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredModel:
    """A name under which versions count up."""

    name: str
    description: str | None
    tags: dict[str, str]
    aliases: dict[str, int]
    created_at: datetime
    updated_at: datetime
    latest: tuple[ModelVersion, ...] = ()  # the newest of each stage

    @property
    def newest(self) -> ModelVersion | None:
        """The version of the highest number, whatever its stage."""
        return max(self.latest, key=lambda each: each.number, default=None)

    @property
    def is_prompt(self) -> bool:
        """Whether MLflow's client keeps a prompt here instead of a model."""
        return self.tags.get(PROMPT_TAG, "").lower() == "true"


class ModelStatus(StrEnum):
    """What the client said of a logged model's upload."""

    PENDING = "LOGGED_MODEL_PENDING"
    READY = "LOGGED_MODEL_READY"
    FAILED = "LOGGED_MODEL_UPLOAD_FAILED"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelMetric:
    """A point of a metric that was measured on a logged model."""

    key: str
    value: float
    timestamp: int
    step: int = 0
    run_id: str = ""
    dataset_name: str = ""
    dataset_digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedModel:
    """A model as a run made it, before anybody registers it."""

    id: str  # m-<32 hex>
    experiment_id: str
    name: str
    artifact_uri: str
    model_type: str
    source_run_id: str
    status: ModelStatus
    status_message: str
    stage: str  # active | deleted
    creation_time: int  # milliseconds, as tracking keeps them
    last_update_time: int
    params: dict[str, str]
    tags: dict[str, str]
    metrics: tuple[ModelMetric, ...] = ()
    registrations: tuple[tuple[str, int], ...] = ()

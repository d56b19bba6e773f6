"""Experiments, runs, metrics, params and tags: exactly MLflow's meaning."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any

import msgspec

DEFAULT_EXPERIMENT = 0
PARENT_TAG = "mlflow.parentRunId"
NAME_TAG = "mlflow.runName"


class RunStatus(StrEnum):
    """What the run's own code said last."""

    RUNNING = "RUNNING"
    SCHEDULED = "SCHEDULED"
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    KILLED = "KILLED"

    @property
    def is_final(self) -> bool:
        """Whether the run has ended; it may be opened again."""
        return self not in (RunStatus.RUNNING, RunStatus.SCHEDULED)


class KeyKind(IntEnum):
    """What an interned key names."""

    METRIC = 1
    PARAM = 2
    TAG = 3


class Metric(msgspec.Struct, frozen=True, gc=False):
    """One point of a metric, on its way in or out; a struct because a thousand come in one body."""

    key: str
    value: float
    timestamp: int  # milliseconds
    step: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Param:
    """A parameter: written once."""

    key: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    """A tag: the last writer wins."""

    key: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """A named set of runs."""

    id: str
    name: str
    artifact_location: str
    stage: str  # active | deleted
    creation_time: int
    last_update_time: int
    project: str = ""  # whose it is; "" = open to all members
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInfo:
    """What a run is, without what it logged."""

    run_id: str
    experiment_id: str
    name: str
    user_id: str
    status: RunStatus
    start_time: int
    end_time: int | None
    stage: str  # active | deleted
    artifact_uri: str
    job_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A dataset as MLflow describes one: name and digest say which."""

    name: str
    digest: str
    source_type: str
    source: str
    schema: str | None = None
    profile: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetInput:
    """A dataset that a run read, with the tags of that use (mlflow.data.context)."""

    dataset: Dataset
    tags: tuple[Tag, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelLink:
    """A logged model that a run read or made."""

    model_id: str
    step: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run with its latest metrics, params, tags and what it read and made."""

    info: RunInfo
    metrics: dict[str, Metric]
    params: dict[str, str]
    tags: dict[str, str]
    datasets: tuple[DatasetInput, ...] = ()
    model_inputs: tuple[ModelLink, ...] = ()
    model_outputs: tuple[ModelLink, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of a listing; an empty token means that it was the last."""

    items: tuple[Any, ...]
    next_token: str = ""

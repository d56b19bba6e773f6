"""A task: one step of a pipeline, resolved against one commit, ready to be keyed and run."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from headway.environments.model import EnvSpec
from headway.projects.model import ParamValue, Resources


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSpec:
    """One step of a job, complete: nothing further is read from headway.yaml to run it."""

    name: str
    argv: tuple[str, ...]
    commit: str  # full sha whose tree it runs in: the head, or the base for a step taken from base
    root: str  # folder of the project in that tree
    env: EnvSpec
    code_digest: str  # of the paths it reads at `commit`
    needs: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()  # paths that earlier tasks output
    data: dict[str, str] = field(default_factory=dict)  # data set name -> "uri@digest"
    outputs: tuple[str, ...] = ()
    params: dict[str, ParamValue] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    resources: Resources = field(default_factory=Resources)
    timeout: timedelta | None = None
    retries: int = 0
    network: bool | None = None
    cache: bool = True
    seed: int | None = None

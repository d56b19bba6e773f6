"""What the pods of a deployment and the server tell each other, and where things stand in such a pod."""

from __future__ import annotations

from dataclasses import dataclass, field

from headway.environments.model import EnvSpec
from headway.serving.front import Options
from headway.serving.model import Deployment, Observed

PORT = 8080
ENDPOINT = "/headway/endpoint"  # the front's folder; agent and front write it
MODELS = "/headway/models"  # by digest; the agent writes it, the front reads it
ENVIRONMENTS = "/headway/environments"
TOKEN = "/headway/token/token"  # noqa: S105  # a path; only the agent's container has it


@dataclass(frozen=True, slots=True, kw_only=True)
class PodReport:
    """What one pod says of itself, about once a second."""

    pod: str  # its name
    observed: Observed | None = None  # as its front wrote it; None before the front runs
    fetched: dict[int, str] = field(default_factory=dict)  # version -> loading: what is fetched | failed: why


@dataclass(frozen=True, slots=True, kw_only=True)
class PodOrder:
    """The answer: what the pod shall serve."""

    wanted: Deployment
    in_force: Deployment | None  # what served last: a fresh pod begins with it, should `wanted` not load
    options: Options


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentOrder:
    """What an environment is made of; `files` are the lock file and what belongs to it, by path in the project."""

    spec: EnvSpec
    tier: int
    files: dict[str, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """How much of a stream the server has; the pod goes on from there."""

    size: int

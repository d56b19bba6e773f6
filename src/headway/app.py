"""The composition root: settings in, one frozen `App` out; the only place that names a backend."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from headway.auth.authenticate import Authenticator
from headway.blobs.base import BlobStore
from headway.clock import Clock, SystemClock
from headway.db.connection import Database, open_database
from headway.db.migrate import migrate
from headway.errors import NotFound, NotThereYet, UsageError
from headway.forges.github.config import read_config
from headway.logs import hide
from headway.settings import Settings

if TYPE_CHECKING:
    from headway.engines.base import Engine
    from headway.environments.base import Builder
    from headway.forges.base import Forge
    from headway.forges.github.forge import GitHubForge
    from headway.kube import Kube
    from headway.sandbox.isolation import IsolationReport
    from headway.serving.base import Target

ISOLATION_FILE = "isolation.json"
KUBERNETES = "kubernetes"
_CLUSTER_HINT = (
    "set HEADWAY_KUBERNETES_NAMESPACES, HEADWAY_KUBERNETES_IMAGE and HEADWAY_KUBERNETES_SERVER_URL where the server "
    "starts, then `headway server restart` (docs/how-to/kubernetes.md); or leave `type: kubernetes` out"
)
_NO_CLUSTER = "this server has no cluster, and headway.yaml asks for one"
_EXTRA_HINT = (
    "install it where `headway` is: pip install 'headway[kubernetes]', or in a clone pip install '.[kubernetes]'"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What tracking needs of an `App`: a server opens it at once, and the rest for the first page or API call."""

    settings: Settings
    clock: Clock
    database: Database
    authenticator: Authenticator
    artifacts: BlobStore

    def close(self) -> None:
        """Close what was opened."""
        self.database.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """Everything that a process of Headway works with, opened once."""

    settings: Settings
    clock: Clock
    database: Database
    authenticator: Authenticator
    artifacts: BlobStore  # what runs and models log
    contents: BlobStore  # outputs of tasks, by digest
    builder: Builder
    builders: Mapping[str, Builder] = field(default_factory=dict)  # engines and targets elsewhere -> their own
    engines: Mapping[str, Engine]
    forges: Mapping[str, Forge]
    github: GitHubForge | None = None  # the same as in `forges`, for the questions that only GitHub has
    targets: Mapping[str, Target]
    nudge: Callable[[], None] = lambda: None  # has the worker look now; in the server alone it does something

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.settings.data

    def engine(self, name: str) -> Engine:
        """Return the engine of that name."""
        if name not in self.engines:
            raise NotThereYet(
                _NO_CLUSTER if name == KUBERNETES else f"engine {name!r} is not there yet",
                cause=f"this server has: {', '.join(sorted(self.engines))}",
                hint=_CLUSTER_HINT
                if name == KUBERNETES
                else "set engine: {type: local} in headway.yaml on the base branch",
            )
        return self.engines[name]

    def is_elsewhere(self, name: str) -> bool:
        """Whether an engine or target of that name has machines of its own: nothing of this one's disk is there."""
        return name in self.builders

    def builder_for(self, name: str) -> Builder:
        """Return what makes environments for an engine or target."""
        return self.builders.get(name, self.builder)

    def slots_of(self, engine: str) -> int:
        """Return how many attempts an engine takes at the same time."""
        return self.settings.kubernetes.slots if self.is_elsewhere(engine) else self.settings.slots

    def target(self, name: str) -> Target:
        """Return the deployment target of that name."""
        if name not in self.targets:
            raise NotThereYet(
                _NO_CLUSTER if name == KUBERNETES else f"deployment target {name!r} is not there yet",
                cause=f"this server has: {', '.join(sorted(self.targets))}",
                hint=_CLUSTER_HINT
                if name == KUBERNETES
                else "set deploy: {target: local} in headway.yaml on the base branch",
            )
        return self.targets[name]

    def forge(self, name: str) -> Forge:
        """Return the forge of that name."""
        if name not in self.forges:
            raise NotFound(f"no forge {name!r}", hint=f"this server has: {', '.join(sorted(self.forges))}")
        return self.forges[name]

    def close(self) -> None:
        """Close what was opened; detached attempts and endpoints live on."""
        self.database.close()


def open_ground(settings: Settings) -> Ground:
    """Open the data directory (made, private, when absent) and what tracking needs."""
    from headway.blobs.folder import FolderStore

    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    clock = SystemClock()
    database = open_database(settings.database_url)
    migrate(database)
    return Ground(
        settings=settings,
        clock=clock,
        database=database,
        authenticator=Authenticator(database, clock, mode=_auth_mode(settings.auth)),
        artifacts=FolderStore(settings.data / "artifacts", is_journaled=True),
    )


def is_awaited(settings: Settings) -> bool:
    """Whether the whole app must stand from the start: deliveries and pods wait for answers, and errors are told."""
    return settings.kubernetes.is_set_up or read_config(settings.data / "github").is_set_up


def open_app(settings: Settings, *, runs_attempts: bool = False, ground: Ground | None = None) -> App:
    """Open every backend that the settings name, on the ground that is open already or a new one.

    `runs_attempts` is the worker's: it proves the isolation level by a self-test and leaves the report behind.
    """
    from headway.blobs.folder import FolderStore
    from headway.engines.local import LocalEngine
    from headway.environments.sealed_build import Sealing
    from headway.environments.uv_builder import UvBuilder
    from headway.forges.local import LocalForge
    from headway.sandbox.isolation import IsolationReport
    from headway.serving.command import CommandTarget
    from headway.serving.front import Options
    from headway.serving.local import LocalTarget
    from headway.serving.scorer_process import Launch

    ground = ground or open_ground(settings)
    data, clock, database = settings.data, ground.clock, ground.database
    isolation = _isolation(settings) if runs_attempts else IsolationReport(level=0, reasons=("not the worker",))
    # What must be built from source runs its own code: inside the sandbox, where there is one.
    serving = Options(launch=Launch(sandbox=isolation.facts, private=(str(data),)))
    sealing = Sealing(facts=isolation.facts, private=(data,)) if isolation.facts is not None else None
    github = _github(settings, database, clock)
    forges: dict[str, Forge] = {"local": LocalForge(database, clock)}
    if github is not None:
        forges["github"] = github
    return App(
        settings=settings,
        clock=clock,
        database=database,
        authenticator=ground.authenticator,
        artifacts=ground.artifacts,
        contents=FolderStore(data / "contents"),
        builder=UvBuilder(data / "environments", sealing=sealing),
        builders=_builders(settings),
        engines={
            "local": LocalEngine(data / "attempts", isolation=isolation, private=(data,)),
            **_cluster_engines(settings, resumes=runs_attempts),
        },
        forges=forges,
        github=github,
        targets={
            "local": LocalTarget(data / "deployments", serving),
            "command": CommandTarget(data / "deployments"),
            **_cluster_targets(settings, database, clock),
        },
    )


def _github(settings: Settings, database: Database, clock: Clock) -> GitHubForge | None:
    """Return GitHub as a forge where somebody has set it up: what it needs takes time to import."""
    config = read_config(settings.data / "github")
    hide(*config.secrets)
    if not config.is_set_up:
        return None
    from headway.forges.github.forge import GitHubForge

    return GitHubForge(database, clock, config=config, mirrors=settings.data / "mirrors")


def _builders(settings: Settings) -> dict[str, Builder]:
    from headway.environments.pod_builder import PodBuilder

    return {KUBERNETES: PodBuilder(settings.data / "environments" / "orders")} if settings.kubernetes.is_set_up else {}


def _cluster_engines(settings: Settings, *, resumes: bool) -> dict[str, Engine]:
    """Return the Kubernetes engine where a cluster is set up; it is opened by the first attempt or by what was left."""
    if not settings.kubernetes.is_set_up:
        return {}
    if find_spec("lightkube") is None:  # said now, and not by the first attempt
        raise UsageError(
            "this Headway cannot speak to a cluster: its extra `kubernetes` is not installed",
            cause="HEADWAY_KUBERNETES_NAMESPACES is set",
            hint=_EXTRA_HINT,
        )
    from headway.engines.kubernetes.engine import KubernetesEngine
    from headway.engines.kubernetes.options import options_from

    engine = KubernetesEngine(settings.data / "attempts", options_from(settings.kubernetes), _connect(settings))
    if resumes:
        engine.resume()
    return {KUBERNETES: engine}


def _cluster_targets(settings: Settings, database: Database, clock: Clock) -> dict[str, Target]:
    """Return the Kubernetes target where a cluster is set up; the cluster is opened by the first deployment."""
    if not settings.kubernetes.is_set_up:
        return {}
    from headway.serving.kubernetes.options import pod_settings
    from headway.serving.kubernetes.target import KubernetesTarget
    from headway.serving.kubernetes.tokens import PodTokens

    target = KubernetesTarget(
        settings.data / "deployments",
        pod_settings(settings.kubernetes),
        connect=_connect(settings),
        tokens=PodTokens(database, clock),
    )
    return {KUBERNETES: target}


def _connect(settings: Settings) -> Callable[[], Kube]:
    def connect() -> Kube:
        from headway.kube import Cluster, open_kube  # what it needs takes time to import

        return open_kube(Cluster(kubeconfig=settings.kubernetes.kubeconfig, context=settings.kubernetes.context))

    return connect


def _isolation(settings: Settings) -> IsolationReport:
    from headway.sandbox.isolation import probe_isolation

    report = probe_isolation(settings.data, wanted=settings.isolation)
    (settings.data / ISOLATION_FILE).write_bytes(msgspec.json.encode(report))
    return report


def _auth_mode(text: str) -> Literal["token", "none"]:
    if text not in ("token", "none"):
        raise UsageError(f"HEADWAY_AUTH={text!r} is not a way to log in", hint="use token or none")
    return "none" if text == "none" else "token"

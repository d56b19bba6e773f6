"""Attempts of the Kubernetes engine on a real node: a Headway whose doors pods reach, and specs whose code is told."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fakes.kubernetes_node import IMAGE, Node
from fakes.small_cluster import make_spec
from flows.conftest import serving
from headway.app import App, open_app
from headway.engines.base import AttemptSpec
from headway.engines.kubernetes.engine import KubernetesEngine
from headway.engines.kubernetes.options import KubernetesOptions
from headway.kube import Cluster, Kube, open_kube
from headway.settings import Settings


@dataclass
class PodAttempts:
    """A server, and engines over its attempts in one namespace."""

    app: App
    node: Node
    namespace: str
    url: str
    engines: list[KubernetesEngine] = field(default_factory=list)

    @property
    def root(self) -> Path:
        return self.app.data / "attempts"

    def options(self, **changes: Any) -> KubernetesOptions:
        given = {
            "image": IMAGE,
            "server_url": self.url,
            "namespace": self.namespace,
            "pull_policy": "IfNotPresent",
            "index_variables": {"HTTPS_PROXY": self.node.proxy},
            "keep_ended_seconds": 3600.0,
        }
        return KubernetesOptions(**{**given, **changes})

    def connect(self) -> Kube:
        return open_kube(Cluster(kubeconfig=str(self.node.kubeconfig)))

    def engine(self, **changes: Any) -> KubernetesEngine:
        self.root.mkdir(exist_ok=True)
        engine = KubernetesEngine(self.root, self.options(**changes), self.connect)
        self.engines.append(engine)
        return engine

    def spec(self, code: str = "", **changes: Any) -> AttemptSpec:
        """Return an attempt that runs `code`; its folder, its token and what the server needs are made."""
        return make_spec(self.app, code, **changes)

    def close(self) -> None:
        for engine in self.engines:
            engine.close()


@contextlib.contextmanager
def pod_attempts(folder: Path, node: Node, namespace: str) -> Iterator[PodAttempts]:
    """A server on the address by which pods reach this machine."""
    settings = Settings(data=folder / "data", host=node.machine, port=0)
    app = open_app(settings)
    with serving(app, settings):
        told = json.loads((settings.data / "server.json").read_text())
        found = PodAttempts(app=app, node=node, namespace=namespace, url=f"http://{node.machine}:{told['port']}")
        yield found
        found.close()
    app.close()

"""What endpoints in a cluster need around them: a server that pods reach, models with digests, an environment."""

from __future__ import annotations

import io
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount

from fakes.databases import prepared
from fakes.kubernetes_node import IMAGE, UID, Node
from headway.api.endpoints import endpoint_routes
from headway.app import App, open_app
from headway.environments.files import FolderFiles
from headway.environments.find import find_environment
from headway.environments.model import Tier
from headway.environments.pod_builder import PodBuilder
from headway.kube import Cluster, open_kube
from headway.projects.model import EnvSection
from headway.serving.kubernetes.options import PodSettings
from headway.serving.kubernetes.target import KubernetesTarget
from headway.serving.kubernetes.tokens import PodTokens
from headway.serving.model import Deployment, Route
from headway.serving.prediction_log import Prediction, PredictionLog
from headway.settings import Settings
from serving.models import deployment, kept_route

REQUIREMENTS = b"numpy==2.2.6\n"
CACHE = Path("/tmp/headway-test-environments")  # one for all tests of a machine: numpy is fetched once


@dataclass(frozen=True, kw_only=True)
class PodWorld:
    """A server's data, the address at which pods find it, and the cluster."""

    app: App
    url: str
    node: Node
    namespace: str
    env_path: str

    @property
    def settings(self) -> PodSettings:
        """What an operator would set here."""
        return PodSettings(
            image=IMAGE,
            server_url=self.url,
            namespaces=(self.namespace,),
            cache=f"host:{CACHE}",
            variables={"HTTPS_PROXY": self.node.proxy},
        )

    def target(self, **more: Any) -> KubernetesTarget:
        """A target of this server, as it is after a start."""
        return KubernetesTarget(
            self.app.data / "deployments",
            replace(self.settings, **more),
            connect=lambda: open_kube(Cluster(kubeconfig=str(self.node.kubeconfig))),
            tokens=PodTokens(self.app.database, self.app.clock),
        )

    def route(self, version: int, weight: int = 100, predict: str = "sum", *, load: str = "") -> Route:
        """A route of a model with real files, real digest and a real environment."""
        artifacts = self.app.data / "artifacts"
        return kept_route(artifacts, version, weight, predict, load=load, env_path=self.env_path)

    def wanted(self, *routes: Route, revision: int = 1, replicas: int = 1, name: str = "demo-production") -> Deployment:
        """A deployment of these routes for this target."""
        plain = deployment(*routes, revision=revision, name=name)
        return replace(plain, target="kubernetes", spec=replace(plain.spec, target="kubernetes", replicas_min=replicas))

    def predictions(self, name: str) -> Iterator[Prediction]:
        """What the pods of a deployment have logged, as far as it has come here."""
        return PredictionLog(self.app.data / "deployments" / name / "predictions").read()


@contextmanager
def pod_world(folder: Path, node: Node, namespace: str) -> Iterator[PodWorld]:
    """Serve the routes of pods on the machine's address towards the node."""
    app = open_app(Settings(data=prepared(folder)))
    env_path = keep_order(app, folder / "project")
    CACHE.mkdir(exist_ok=True)
    shutil.chown(CACHE, UID, UID)
    listener = socket.socket()
    listener.bind((node.machine, 0))
    rest = Starlette(routes=[Mount("/api/v1", routes=endpoint_routes(app))])
    server = uvicorn.Server(uvicorn.Config(rest, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        url = f"http://{node.machine}:{listener.getsockname()[1]}"
        yield PodWorld(app=app, url=url, node=node, namespace=namespace, env_path=env_path)
    finally:
        server.should_exit = True
        thread.join(20)
        app.close()


def keep_order(app: App, scratch: Path) -> str:
    """Keep what the environment is made of, as training in the cluster does; returns where pods find it."""
    scratch.mkdir()
    (scratch / "requirements.txt").write_bytes(REQUIREMENTS)
    spec = find_environment(FolderFiles(scratch), EnvSection(), default_python="3.11")
    return PodBuilder(app.data / "environments" / "orders").build(spec, scratch, Tier.MAIN, io.StringIO()).path


def wait_until(seen: Callable[[], Any], *, seconds: float = 120) -> None:
    """Poll; never asserts on time."""
    deadline = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < deadline, "not seen in time"
        time.sleep(0.2)

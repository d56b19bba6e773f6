"""A cluster on this machine: the fake API, pods as processes, and a real server for their doors."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from fakes.databases import prepared
from fakes.kubernetes_api import KubernetesApi
from fakes.local_kubelet import LocalKubelet
from flows.conftest import serving
from headway.app import App, open_app
from headway.auth.model import Role, TokenKind
from headway.auth.tokens import TokenStore
from headway.engines.base import AttemptSpec, DoorSpec
from headway.engines.kubernetes.engine import KubernetesEngine
from headway.engines.kubernetes.options import KubernetesOptions
from headway.flow.prepare import keep_spec
from headway.ids import new_id
from headway.kube import Cluster, Kube, open_kube
from headway.projects.model import Resources
from headway.settings import Settings

HEADWAY = "/opt/headway"  # Headway's own environment in the image: a Python for steps without one


@dataclass
class SmallCluster:
    """Engines over one server's attempts."""

    app: App
    api: KubernetesApi
    kubelet: LocalKubelet
    url: str
    engines: list[KubernetesEngine] = field(default_factory=list)

    @property
    def root(self) -> Path:
        return self.app.data / "attempts"

    def connect(self) -> Kube:
        return open_kube(Cluster(kubeconfig=str(self.api.kubeconfig(self.app.data))), read_seconds=2.0)

    def engine(self, **changes: Any) -> KubernetesEngine:
        self.root.mkdir(exist_ok=True)
        given = {"image": "headway:test", "server_url": self.url, "poll_seconds": 0.1, "drain_seconds": 30.0}
        options = KubernetesOptions(**{"keep_ended_seconds": 3600.0, "watch_seconds": 3, **given, **changes})
        engine = KubernetesEngine(self.root, options, self.connect)
        self.engines.append(engine)
        return engine

    def spec(self, code: str = "", **changes: Any) -> AttemptSpec:
        """Return an attempt that runs `code`; its folder, its token and what the server needs are made."""
        return make_spec(self.app, code, **changes)

    def end_token(self, spec: AttemptSpec) -> None:
        """What `flow/collect.py` does when an attempt has ended."""
        with self.app.database.write() as tx:
            for token_id in TokenStore(tx).revoke_attempt(spec.id, at=self.app.clock.now()):
                self.app.authenticator.forget(token_id)


def make_spec(app: App, code: str, **changes: Any) -> AttemptSpec:
    """Return an attempt as `flow/prepare.py` would hand it to an engine elsewhere."""
    name = new_id()
    folder = app.data / "attempts" / name
    (folder / "work").mkdir(parents=True)
    (folder / "work" / "main.py").write_text(code)
    with app.database.write() as tx:
        at = app.clock.now()
        token = TokenStore(tx).mint(TokenKind.ATTEMPT, "job-1", role=Role.CONTRIBUTOR, at=at, attempt_id=name)
    spec = AttemptSpec(
        id=name,
        job_id="job",
        task="train",
        number=1,
        nonce=f"nonce-{name}",
        directory=str(folder),
        argv=("python", "-I", "-S", "main.py"),
        cwd=str(folder / "work"),
        env_path=HEADWAY,
        resources=Resources(disk_mb=200),
        grace=timedelta(seconds=5),
        door=DoorSpec(server_file="", token=token, run_id="", experiment_id=""),
    )
    spec = replace(spec, **changes)
    keep_spec(spec)
    return spec


@contextlib.contextmanager
def small_cluster(folder: Path) -> Iterator[SmallCluster]:
    """A server, an API and a kubelet."""
    settings = Settings(data=prepared(folder / "data"), port=0)
    app = open_app(settings)
    api = KubernetesApi()
    api.start()
    kubelet = LocalKubelet(api, folder / "kubelet")
    with serving(app, settings):
        url = json.loads((settings.data / "server.json").read_text())["url"]
        found = SmallCluster(app=app, api=api, kubelet=kubelet, url=url)
        yield found
        for engine in found.engines:
            engine.close()
        kubelet.close()
        api.stop()
    app.close()

"""Tiny model folders: plain Python for speed, MLflow's formats where the format is the point."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx

from headway.blobs.folder import FolderStore
from headway.projects.model import DeploySpec
from headway.registry.digest import digest_folder
from headway.serving.base import Target
from headway.serving.model import Deployment, Observed, Route

# One for all: httpx.post() reads every certificate of the machine for each request.
CLIENT = httpx.Client(timeout=60, verify=False, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))

PREDICT = {
    "sum": "return np.asarray(data).sum(axis=1)",
    "twice": "return np.asarray(data).sum(axis=1) * 2",
    "nan": "return np.full(len(data), np.nan)",
    "broken": "raise RuntimeError('secret detail of the model')",
    "crash": "os._exit(11)",
    "slow": "time.sleep(0.3); return np.asarray(data).sum(axis=1)",
    "stuck": "time.sleep(1000)",
    "crash_on_13": "x = np.asarray(data).sum(axis=1)\n        if (x == 13).any(): os._exit(11)\n        return x",
    "pid": "return np.full(len(data), os.getpid())",
}
LOAD = {
    "": "",
    "fails": "raise ValueError('the weights are damaged')",
    "hangs": "time.sleep(1000)",
    "exits": "os._exit(7)",
    "greedy": "global kept; kept = bytearray(2 << 30)",
}


def write_model(folder: Path, predict: str = "sum", *, load: str = "") -> Path:
    """A folder with headway_model.py whose model does what PREDICT and LOAD say."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "headway_model.py").write_text(
        "import os, time\n"
        "import numpy as np\n"
        "class Model:\n"
        "    n_features_in_ = 2\n"
        "    def predict(self, data):\n"
        f"        {PREDICT[predict]}\n"
        "def load(folder):\n"
        f"    {LOAD[load] or 'pass'}\n"
        "    return Model()\n"
    )
    return folder


def route(version: int, weight: int, source: Path, *, env_path: str = sys.prefix) -> Route:
    return Route(model="adder", version=version, weight=weight, source=str(source), digest="d", env_path=env_path)


def kept_route(
    artifacts: Path, version: int, weight: int, predict: str = "sum", *, load: str = "", env_path: str
) -> Route:
    """A route of a model with real files below `artifacts` and their real digest."""
    key = f"models/{predict}-{load or 'loads'}"
    source = write_model(artifacts / key, predict, load=load)
    plain = route(version, weight, source, env_path=env_path)
    return replace(plain, digest=digest_folder(FolderStore(artifacts), key))


def deployment(
    *routes: Route, revision: int = 1, name: str = "demo-production", spec: DeploySpec | None = None
) -> Deployment:
    return Deployment(
        name=name,
        project="demo",
        environment="production",
        target="local",
        routes=routes,
        revision=revision,
        spec=spec or DeploySpec(),
    )


def revised(earlier: Deployment, *routes: Route) -> Deployment:
    return replace(earlier, routes=routes, revision=earlier.revision + 1)


def wait_for(target: Target, name: str, seen: Callable[[Observed], bool], *, seconds: float = 60) -> Observed:
    """Poll until `seen` says yes; the failure shows what was there instead."""
    deadline = time.monotonic() + seconds
    observed = None
    while time.monotonic() < deadline:
        observed = target.observe(name)
        if observed is not None and seen(observed):
            return observed
        time.sleep(0.05)
    raise AssertionError(f"not seen within {seconds} s: {observed}\n" + "\n".join(target.logs(name, 40)))


def in_force(revision: int) -> Callable[[Observed], bool]:
    return lambda observed: observed.ready and observed.revision >= revision


def ask(url: str, *rows: list[float], headers: dict[str, str] | None = None) -> httpx.Response:
    return CLIENT.post(f"{url}/invocations", json={"instances": list(rows)}, headers=headers)


def children(pid: int) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "stat").read_text().rsplit(")", 1)[1].split()[1] == str(pid):
                found.append(int(folder.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found

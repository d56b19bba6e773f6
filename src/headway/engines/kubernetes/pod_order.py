"""What the supervisor in a pod is told: the same command as on one machine, with the paths of the pod."""

from __future__ import annotations

import posixpath
from dataclasses import replace
from pathlib import Path
from typing import Any

from headway.engines.base import AttemptSpec, DoorSpec, Isolation
from headway.engines.kubernetes.options import ATTEMPT, KubernetesOptions
from headway.engines.order import LocalLimits, make_order
from headway.environments.shelf import MARKER
from headway.errors import UsageError

_PLAIN_PATH = "/usr/local/bin:/usr/bin:/bin"


def pod_command(spec: AttemptSpec, options: KubernetesOptions) -> dict[str, Any]:
    """Return the content of `command.json` in the pod.

    Raises:
        UsageError: a path leads out of the attempt's folder, or is one of the server's machine only.
    """
    limits = LocalLimits(
        cgroups=False,
        hold_seconds=options.hold_seconds,
        answer_seconds=options.answer_seconds,
        drain_seconds=options.drain_seconds,
        sample_seconds=options.sample_seconds,
    )
    _check_data(spec)
    order = make_order(_moved(spec), int(Isolation.L3), None, (), limits)
    environment = order["environment"]
    if spec.image:
        environment["PATH"] = _PLAIN_PATH  # the pod puts the image's own in its place
        environment.pop("VIRTUAL_ENV", None)
    return order | {
        "network": True,  # the door is reached by the pod's own loopback; the cluster decides about the rest
        "is_pod": True,
        "outputs": list(spec.outputs),
        "keeps_image_environment": bool(spec.image),
        # What stands there once the environment is whole; the code must not begin without it.
        "stands": f"{spec.env_path}/{MARKER}" if spec.env and spec.env_path and not spec.image else "",
    }


def place_in_pod(path: str, directory: str) -> str:
    """Return where in the pod that stands which the server has in the attempt's folder."""
    below = posixpath.relpath(posixpath.join(directory, path), directory)
    return posixpath.normpath(posixpath.join(ATTEMPT, below))


def _moved(spec: AttemptSpec) -> AttemptSpec:
    cwd = Path(spec.cwd) if Path(spec.cwd).is_absolute() else Path(spec.directory) / "work" / spec.cwd
    door = spec.door and DoorSpec(
        server_file=f"{ATTEMPT}/server.json",
        token=spec.door.token,
        run_id=spec.door.run_id,
        experiment_id=spec.door.experiment_id,
    )
    if door and not door.run_id:
        door = None  # nothing is tracked: the token is only for the attempt's own routes
    return replace(spec, directory=ATTEMPT, cwd=place_in_pod(str(cwd), spec.directory), door=door)


def _check_data(spec: AttemptSpec) -> None:
    """A path of this machine is nothing in a pod, unless a volume is mounted there."""
    for each in spec.readable:
        if not any(Path(each).is_relative_to(mount.path) for mount in spec.volumes):
            raise UsageError(
                f"the data set {each} is a path of one machine, and a pod does not have it",
                hint="put it into a volume that the operator offers and mount it there (`volumes:` of the step), "
                "or name an address (s3://, https://)",
            )

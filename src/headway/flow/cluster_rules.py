"""What a project asks of a cluster, held against what its operator allows and how far its code is trusted."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable

from headway.app import KUBERNETES, App
from headway.data.digest import place_of
from headway.data.model import DataPin, Place
from headway.engines.base import Mount
from headway.environments.model import Tier
from headway.errors import Refused, UsageError
from headway.projects.model import DataSpec, ProjectSpec, VolumeSpec


def check_cluster(app: App, project: ProjectSpec, tier: Tier) -> None:
    """Return when everything that a project asks of the cluster may be had; `project` is the effective one.

    Raises:
        Refused: an image, a volume or a namespace that the operator does not allow, or a fork that mounts volumes.
        UsageError: it asks for what only a cluster has, and runs on this machine.
    """
    if project.engine.type != KUBERNETES:
        _check_local(project)
        return
    if not app.settings.kubernetes.is_set_up:
        return  # the engine that is not there says so itself
    _check_namespace(app, project.engine.namespace)
    for step in project.steps:
        if step.image:
            _check_image(app, step.name, step.image)
        mounts_of(app, step.name, step.volumes, tier)


def mounts_of(app: App, step: str, volumes: Iterable[VolumeSpec], tier: Tier) -> tuple[Mount, ...]:
    """Return the claims behind the volumes of a step.

    Raises:
        Refused: the operator names no such volume, nobody may write to it, or the code is a fork's.
    """
    found = []
    for each in volumes:
        if tier is Tier.FORK:
            raise Refused(
                f"the step {step} mounts the volume {each.name}, which code from a fork does not get",
                cause="a volume holds what others put there, and no step of a fork needs to see it",
                hint="ask a maintainer to push the branch into this repository",
            )
        allowed = app.settings.kubernetes.volume(each.name)
        if allowed is None:
            known = ", ".join(volume.name for volume in app.settings.kubernetes.volumes) or "none"
            raise Refused(
                f"the step {step} mounts the volume {each.name}, which this server does not have",
                cause=f"its operator allows: {known}",
                hint="correct the name, or ask for HEADWAY_KUBERNETES_VOLUMES to be extended",
            )
        if allowed.read_only and not each.read_only:
            raise Refused(
                f"the step {step} wants to write to the volume {each.name}, which is only read",
                cause=f"HEADWAY_KUBERNETES_VOLUMES says {allowed}",
                hint="leave out `read_only: false`",
            )
        found.append(Mount(name=each.name, claim=allowed.claim, path=each.path, read_only=each.read_only))
    return tuple(found)


def pin_in_volumes(project: ProjectSpec, data: DataSpec) -> DataPin | None:
    """Return the pin of a data set that lies in a volume of the cluster; None when it lies elsewhere.

    Raises:
        UsageError: it is a path of the server's machine, which no pod has.
    """
    if place_of(data.uri) is not Place.LOCAL:
        return None
    mounted = {volume.path for step in project.steps for volume in step.volumes}
    place = posixpath.normpath(data.uri)
    if any(place == path or place.startswith(f"{path}/") for path in mounted):
        return DataPin(name=data.name, uri=data.uri, place=Place.LOCAL)  # nobody here can hash it
    raise UsageError(
        f"data.{data.name}: {data.uri!r} is a path of the server's machine, and steps run in a cluster",
        cause=f"the volumes of its steps are at: {', '.join(sorted(mounted)) or 'no path'}",
        hint="mount a volume that holds it, use an address such as s3://, or track it in the repository",
    )


def _check_local(project: ProjectSpec) -> None:
    for step in project.steps:
        for word, asked in (("image", step.image), ("volumes", step.volumes)):
            if asked:
                raise UsageError(
                    f"the step {step.name} has `{word}:`, and this project runs on the server's own machine",
                    cause=f"the engine is {project.engine.type}, as the base branch has it",
                    hint="merge `engine: {type: kubernetes}` into the base branch first",
                )


def _check_namespace(app: App, namespace: str | None) -> None:
    allowed = app.settings.kubernetes.namespaces
    if namespace is not None and namespace not in allowed:
        raise Refused(
            f"the namespace {namespace} is not for this server's jobs",
            cause=f"its operator allows: {', '.join(allowed)}",
            hint="correct engine.namespace on the base branch, or ask for HEADWAY_KUBERNETES_NAMESPACES to be extended",
        )


def _check_image(app: App, step: str, image: str) -> None:
    if not app.settings.kubernetes.allows_image(image):
        patterns = ", ".join(app.settings.kubernetes.images) or "no image at all"
        raise Refused(
            f"the step {step} asks for the image {image}, which may not run here",
            cause=f"the server's operator allows: {patterns}",
            hint="choose one of those, or ask for HEADWAY_KUBERNETES_IMAGES to be extended",
        )

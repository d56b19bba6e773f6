"""What a headway.yaml says of a cluster, held against the rest of it; what the cluster allows, the server knows."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from typing import Any

from headway.projects.build import steps_of
from headway.projects.problem import quoted
from headway.projects.take import Path, Taken

# Ours, the image's programs, and what a container has anyway: mounting over them breaks the step or more.
_RESERVED = (
    "/headway", "/opt/headway", "/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/proc", "/run", "/sbin",
    "/sys", "/usr", "/var/run",
)  # fmt: skip


def check_cluster(taken: Taken) -> None:
    """Report images and volumes without a cluster, and volumes in each other's or the system's place."""
    engine = taken.at("engine", "type") or "local"
    for path, section in _sections(taken):
        for name in ("image", "volumes"):
            if section.get(name) and engine != "kubernetes":
                taken.report(
                    (*path, name),
                    f"{quoted(name)} means something to a cluster only, and this project runs on the server's machine",
                    "add `engine: {type: kubernetes}`, or remove it",
                )
    common = taken.at("volumes") or {}
    for path, section in _sections(taken):
        _check_volumes(path, common if path else {}, section.get("volumes") or {}, taken)


def _sections(taken: Taken) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Yield what holds for every step, then each step that says something itself."""
    yield (), taken.value
    if "run" not in taken.value:
        for name, step in steps_of(taken.value).items():
            yield ("pipeline", "steps", name), step


def _check_volumes(path: Path, common: Mapping[str, Any], own: Mapping[str, Any], taken: Taken) -> None:
    seen = {place: name for name, value in common.items() if name not in own and (place := _place(value))}
    for name, value in own.items():
        place = _place(value)
        if place is None:
            continue  # told already
        here = (*path, "volumes", name)
        if any(place == each or place.startswith(f"{each}/") for each in _RESERVED):
            taken.report(here, f"nothing can be mounted at {quoted(place)}: it is the system's", "write `/data`")
        elif place in seen:
            taken.report(here, f"the volumes {quoted(seen[place])} and {quoted(name)} are both at {quoted(place)}", "")
        seen[place] = name


def _place(value: Any) -> str | None:
    found = value.get("path") if isinstance(value, Mapping) else value
    return posixpath.normpath(found) if isinstance(found, str) else None

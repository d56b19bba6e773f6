"""From the engine's command to the exact program, environment and descriptors to run."""

from __future__ import annotations

import base64
import os
from pathlib import Path

from durable import write_all

_PLAIN_PATH = "/usr/local/bin:/usr/bin:/bin"


def assemble(command: dict, door: dict[str, str], folder: Path) -> tuple[list[str], dict[str, str], list[int]]:
    """Return argument vector, environment and the descriptors that must reach the child."""
    environment = dict(command["environment"])
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_AUTH"):
        environment.pop(name, None)  # they would win over the door's token
    environment.update(door)
    if any(name.lower() in {"http_proxy", "all_proxy"} for name in environment):
        for name in ("NO_PROXY", "no_proxy"):
            environment[name] = ",".join(filter(None, [environment.get(name), "127.0.0.1", "localhost"]))
    wrap = command["wrap"]
    if wrap is None:
        environment.update(HOME=str(folder / "home"), TMPDIR=str(folder / "tmp"))
        return list(command["argv"]), environment, []
    # Options and variables travel through a descriptor: an argument vector is readable by every user of the
    # machine, and bubblewrap itself must not see a variable such as LD_PRELOAD.
    options: list[str] = []
    keep = []
    for path, content in wrap["files"].items():  # first: at the end of the options the root is made read-only
        keep.append(_memory_file("file", content.encode()))
        options += ["--ro-bind-data", str(keep[-1]), path]
    options += wrap["options"]
    if wrap["seccomp"]:
        keep.append(_memory_file("seccomp", base64.b64decode(wrap["seccomp"])))
        options += ["--seccomp", str(keep[-1])]
    for name, value in environment.items():
        options += ["--setenv", name, value]
    keep.append(_memory_file("options", b"".join(option.encode() + b"\0" for option in options)))
    argv = [wrap["program"], "--args", str(keep[-1]), "--"]
    if door:
        argv += wrap["prefix"]
    return argv + list(command["argv"]), {"PATH": _PLAIN_PATH}, keep


def failure(log: Path) -> tuple[str, str]:
    """Tell a sandbox that could not be built, or a program that is not there, from code that returned 1."""
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - 2000))
        lines = stream.read().decode(errors="replace").splitlines()
    last = lines[-1] if lines else ""
    if not last.startswith("bwrap: "):
        return "", ""
    if last.startswith("bwrap: execvp "):
        return "launch", f"could not start: {last[len('bwrap: execvp ') :]}"
    return "isolation", f"the sandbox could not be built: {last[len('bwrap: ') :]}"


def _memory_file(name: str, content: bytes) -> int:
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC)
    write_all(descriptor, content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor

"""The local target: one detached endpoint process per deployment, one scorer process per version."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from headway.ids import checked_name
from headway.serving.durable import is_locked, last_lines, read_record, write_file
from headway.serving.front import Options
from headway.serving.model import Deployment, Observed

if TYPE_CHECKING:
    from collections.abc import Mapping


class LocalTarget:
    """Deployments under `root`, each in a folder of its name; a restarted server finds them as they are."""

    def __init__(
        self, root: Path, options: Options | None = None, environment: Mapping[str, str] | None = None
    ) -> None:
        """Use `root`; `environment` is what endpoint processes see, never the server's own with its secrets."""
        self.root = root
        self.options = options or Options()
        self.environment = dict(environment or {})
        self._children: list[subprocess.Popen[bytes]] = []

    def apply(self, deployment: Deployment) -> None:
        """Write the wanted state, and start the endpoint process where none runs."""
        folder = self._folder(deployment.name)
        folder.mkdir(parents=True, exist_ok=True)
        write_file(folder / "launch.json", msgspec.json.encode(self.options))
        write_file(folder / "wanted.json", msgspec.json.encode(deployment))
        if not is_locked(folder / "lock"):
            self._spawn(folder)

    def _spawn(self, folder: Path) -> None:
        self._children = [child for child in self._children if child.poll() is None]
        plain = {"PATH": os.defpath, "LANG": "C.UTF-8", "HOME": str(folder), **self.environment}
        with (folder / "front.out").open("ab") as out:
            self._children.append(
                subprocess.Popen(
                    [sys.executable, "-m", "headway.serving.front", str(folder)],
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    start_new_session=True,
                    cwd=folder,
                    env=plain,
                )
            )

    def observe(self, name: str) -> Observed | None:
        """Return what the endpoint last wrote; not ready when its process is gone."""
        folder = self._folder(name)
        if not (folder / "wanted.json").exists():
            return None
        seen = read_record(folder / "observed.json", Observed)
        if seen is None:
            seen = Observed(ready=False, url="", revision=0, message="the endpoint is starting")
        if is_locked(folder / "lock"):
            return seen
        self._children = [child for child in self._children if child.poll() is None]
        message = seen.message if "port" in seen.message else "the endpoint's process is not running"
        return replace(seen, ready=False, message=message)

    def logs(self, name: str, tail: int) -> list[str]:
        """Return the last lines of the endpoint and its scorers."""
        folder = self._folder(name)
        files = ("front.out", "endpoint.log.1", "endpoint.log")
        lines = [line for file in files for line in last_lines(folder / file)]
        return lines[-tail:] if tail > 0 else []

    def remove(self, name: str) -> None:
        """Let the endpoint drain and end; its prediction log stays, for `headway why`."""
        folder = self._folder(name)
        for file in ("wanted.json", "in_force.json", "observed.json"):
            (folder / file).unlink(missing_ok=True)

    def _folder(self, name: str) -> Path:
        return self.root / checked_name(name, what="deployment")

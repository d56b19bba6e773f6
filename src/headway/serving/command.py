"""The command target: the team's own deploy script, told by HEADWAY_* variables what to put where."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from headway.errors import UsageError
from headway.ids import checked_name
from headway.serving.durable import read_record, write_file
from headway.serving.model import Deployment, Observed, Route, VersionCounters
from headway.serving.script_run import Exit, Script, ScriptRun, plain_environment, split_command

_URL = re.compile(r"https?://\S+\Z")
_STATUS_EVERY = 5.0
_KEPT_RUNS = 20


class CommandTarget:
    """Deployments by script: one detached run per revision, never repeated, followed by status runs.

    Exit status 0 brings the revision into force; anything else leaves the earlier one. A line of the
    script that is nothing but an address is shown as the deployment's. The status command says by its exit
    status whether the deployment answers; it may print one JSON object with `url`, `message`, and
    `counters` ({version, requests, errors, missing, latency_p50_ms, ...}), on which canaries are judged.
    """

    def __init__(self, root: Path, environment: Mapping[str, str] | None = None, *, time_limit: float = 1800) -> None:
        """Use `root`; `environment` is added to what the scripts find, e.g. credentials for the deployment."""
        self.root = root
        self.environment = plain_environment(environment)
        self.time_limit = time_limit
        self._children: list[subprocess.Popen[bytes]] = []

    def apply(self, deployment: Deployment) -> None:
        """Run the script for this revision unless it has run; a script that still runs is waited for."""
        folder = self._folder(deployment.name)
        if deployment.spec.command is None:
            raise UsageError(
                f"{deployment.name} has no deploy command",
                cause="target: command runs the team's own script",
                hint="set deploy.command in headway.yaml on the base branch",
            )
        argv = split_command(deployment.spec.command, "deploy.command")
        folder.mkdir(parents=True, exist_ok=True)
        write_file(folder / "wanted.json", msgspec.json.encode(deployment))
        in_force = read_record(folder / "in_force.json", Deployment)
        if in_force is not None and _shares(in_force) == _shares(deployment):
            write_file(folder / "in_force.json", msgspec.json.encode(deployment))
            return
        run = self._run(folder, deployment.revision)
        if run.ended is not None or any(one.is_alive for one in self._runs(folder)):
            return
        self._start(run, argv, deployment)
        for old in self._runs(folder)[:-_KEPT_RUNS]:
            shutil.rmtree(old.folder, ignore_errors=True)

    def _start(self, run: ScriptRun, argv: tuple[str, ...], deployment: Deployment) -> None:
        script = Script(
            argv=argv,
            cwd=deployment.workdir or str(run.folder.parent.parent),
            env={**self.environment, **_variables(deployment)},
            timeout=self.time_limit,
        )
        self._children = [child for child in self._children if child.poll() is None]
        self._children.append(run.start(script))

    def observe(self, name: str) -> Observed | None:
        """Return what the script and the status command say; starts a status run when the last one is old."""
        folder = self._folder(name)
        wanted = read_record(folder / "wanted.json", Deployment)
        if wanted is None:
            return None
        self._children = [child for child in self._children if child.poll() is None]
        run = self._run(folder, wanted.revision)
        ended = run.ended
        if ended is not None and ended.code == 0:
            write_file(folder / "in_force.json", msgspec.json.encode(wanted))
            if url := _url(run):
                write_file(folder / "url", url.encode())
        in_force = read_record(folder / "in_force.json", Deployment)
        told = self._status(folder, wanted)
        url_file = folder / "url"
        return Observed(
            ready=in_force is not None and told.get("ready", True) is True,
            url=str(told.get("url") or (url_file.read_text("utf-8") if url_file.exists() else "")),
            revision=in_force.revision if in_force is not None else 0,
            versions=_versions(in_force, wanted, run, ended),
            counters=_counters(told),
            message=str(told.get("message", "")) or _message(run, ended),
        )

    def _status(self, folder: Path, wanted: Deployment) -> dict[str, Any]:
        command = wanted.spec.status_command
        if command is None:
            return {}
        run = ScriptRun(folder / "status")
        ended = run.ended
        if ended is None:
            if not run.exists:
                self._start(run, split_command(command, "deploy.status_command"), wanted)
            return read_record(folder / "told.json", dict) or {}
        if ended.reason.startswith("its process was lost"):
            told: dict[str, Any] = {}
        else:
            told = _told(run, ended)
            write_file(folder / "told.json", msgspec.json.encode(told))
        if time.time() - (run.folder / "started").stat().st_mtime > _STATUS_EVERY:
            shutil.rmtree(run.folder, ignore_errors=True)
        return told

    def logs(self, name: str, tail: int) -> list[str]:
        """Return the last lines of the deploy script, newest run last."""
        lines: list[str] = []
        for run in self._runs(self._folder(name)):
            ended = run.ended
            lines += run.lines(1000)
            if ended is not None:
                lines.append(f"[revision {run.folder.name.lstrip('0')}: {ended.text}]")
        return lines[-tail:] if tail > 0 else []

    def remove(self, name: str) -> None:
        """Forget; what the script has put in place is the team's to take away."""
        shutil.rmtree(self._folder(name), ignore_errors=True)

    def _folder(self, name: str) -> Path:
        return self.root / checked_name(name, what="deployment")

    @staticmethod
    def _run(folder: Path, revision: int) -> ScriptRun:
        return ScriptRun(folder / "runs" / f"{revision:09d}")

    @staticmethod
    def _runs(folder: Path) -> list[ScriptRun]:
        return [ScriptRun(path) for path in sorted((folder / "runs").glob("*"))]


def _variables(deployment: Deployment) -> dict[str, str]:
    # The first route is the one that the change is about.
    route = deployment.routes[0] if deployment.routes else None
    plain = {
        "HEADWAY_DEPLOYMENT": deployment.name,
        "HEADWAY_PROJECT": deployment.project,
        "HEADWAY_ENVIRONMENT": deployment.environment,
        "HEADWAY_REVISION": str(deployment.revision),
        "HEADWAY_ROUTES": msgspec.json.encode([_shown(one) for one in deployment.routes]).decode(),
    }
    if route is None:
        return plain
    return {
        **plain,
        "HEADWAY_MODEL": route.model,
        "HEADWAY_MODEL_VERSION": str(route.version),
        "HEADWAY_MODEL_PATH": route.source,
        "HEADWAY_MODEL_DIGEST": route.digest,
        "HEADWAY_ENV_PATH": route.env_path,
        "HEADWAY_WEIGHT": str(route.weight),
    }


def _shown(route: Route) -> dict[str, Any]:
    return {"model": route.model, "version": route.version, "weight": route.weight, "path": route.source}


def _shares(deployment: Deployment) -> list[Route]:
    return sorted((route for route in deployment.routes if route.weight > 0), key=lambda route: route.version)


def _versions(in_force: Deployment | None, wanted: Deployment, run: ScriptRun, ended: Exit | None) -> dict[int, str]:
    serving = _shares(in_force) if in_force is not None else []
    found = {route.version: "ready" for route in serving}
    if in_force is not None and in_force.revision >= wanted.revision:
        return found
    subject = wanted.routes[0].version if wanted.routes else None
    if subject is not None and (subject not in found or ended is not None):
        found[subject] = "loading" if ended is None else f"failed: {_message(run, ended)}"
    return found


def _message(run: ScriptRun, ended: Exit | None) -> str:
    if ended is None:
        return "the deploy script runs" if run.exists else ""
    if ended.code == 0:
        return ""
    last = [line for line in run.lines(20) if line.strip()][-3:]
    return f"the deploy script: {ended.text}" + (f": {' | '.join(last)}"[:1000] if last else "")


def _url(run: ScriptRun) -> str:
    found = [line.strip() for line in run.lines(1000) if _URL.match(line.strip())]
    return found[-1] if found else ""


def _told(run: ScriptRun, ended: Exit) -> dict[str, Any]:
    lines = [line for line in run.lines(1000) if line.strip()]
    told: dict[str, Any] = {}
    for line in reversed(lines):
        try:
            plain = msgspec.json.decode(line)
        except msgspec.DecodeError:
            continue
        if isinstance(plain, dict):
            told = plain
            break
    last = lines[-1][:500] if lines else ""
    told["ready"] = ended.code == 0 and told.get("ready", True) is True
    if ended.code != 0:
        told["message"] = f"the status command: {ended.text}" + (f": {last}" if last else "")
    return told


def _counters(told: dict[str, Any]) -> tuple[VersionCounters, ...]:
    plain = told.get("counters")
    if not isinstance(plain, list):
        return ()
    empty = {"errors": 0, "missing": 0, "latency_p50_ms": 0.0, "latency_p95_ms": 0.0, "latency_p99_ms": 0.0}
    try:
        return msgspec.convert([{**empty, **one} for one in plain], tuple[VersionCounters, ...])
    except (msgspec.ValidationError, TypeError):
        return ()  # no data is no success

"""Which isolation this machine can really give: found out by running a self-test, never by assuming."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from headway.errors import Refused
from headway.sandbox.command import INSIDE, WRITABLE, Box, Facts, machine_facts
from headway.sandbox.sealed import sealed

if TYPE_CHECKING:
    from collections.abc import Iterator

_SECONDS = 20
_INSTALL = "install bubblewrap (Debian, Ubuntu: `apt install bubblewrap`; Fedora: `dnf install bubblewrap`)"
_ALLOW = (
    "allow unprivileged user namespaces for bubblewrap: `sysctl kernel.apparmor_restrict_unprivileged_userns=0` "
    "(Ubuntu), `sysctl user.max_user_namespaces=10000`, or in a container `--security-opt seccomp=unconfined`"
)
_LOCAL_ONLY = "L0: a clean environment, a process group of its own and rlimits; code can read this user's files"


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One thing tried from inside."""

    name: str
    passed: bool
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class IsolationReport:
    """The level that the self-test proved, and what stands in the way of a higher one."""

    level: int
    reasons: tuple[str, ...] = ()
    hint: str = ""
    probes: tuple[Probe, ...] = ()
    facts: Facts | None = None  # None below L2


def probe_isolation(
    scratch: Path,
    *,
    wanted: int = -1,
    program: str | None = None,
    platform: str = sys.platform,
) -> IsolationReport:
    """Return the best level that holds here, at most `wanted` (-1: no wish); takes about 0.2 s.

    `scratch` is a folder in the data directory; `program` is bubblewrap's path, found by itself when None.

    Raises:
        Refused: `wanted` is 2 and this machine cannot give it.
    """
    report = _probe(scratch, wanted=wanted, program=program, platform=platform)
    if report.level < wanted:
        raise Refused(
            f"HEADWAY_ISOLATION={wanted} is asked for, and this machine gives L{report.level}",
            cause="; ".join(report.reasons),
            hint=report.hint,
        )
    return report


def _probe(scratch: Path, *, wanted: int, program: str | None, platform: str) -> IsolationReport:
    if wanted == 0:
        return IsolationReport(level=0, reasons=("HEADWAY_ISOLATION=0 asks for it", _LOCAL_ONLY))
    if not platform.startswith("linux"):
        return IsolationReport(
            level=0,
            reasons=(f"bubblewrap needs Linux, and this is {platform}", _LOCAL_ONLY),
            hint="run the server on Linux, or use the Kubernetes engine, for code that is not trusted",
        )
    found = program or shutil.which("bwrap")
    if found is None:
        return IsolationReport(level=0, reasons=("bubblewrap is not installed", _LOCAL_ONLY), hint=_INSTALL)
    facts = machine_facts(found, user_namespace=True, uid=os.getuid())
    report = _try(facts, scratch)
    if report.level < 2 and os.getuid() == 0:
        # In some containers root may make every namespace but that of users.
        without = _try(replace(facts, user_namespace=False), scratch)
        report = without if without.level >= 2 else report
    return report


def _try(facts: Facts, scratch: Path) -> IsolationReport:
    try:
        probes = _run_selftest(facts, scratch)
    except (OSError, subprocess.SubprocessError, ValueError, _NotBuilt) as error:
        return IsolationReport(level=0, reasons=(f"bubblewrap does not work here: {error}", _LOCAL_ONLY), hint=_ALLOW)
    failed = [probe for probe in probes if not probe.passed]
    if failed:
        reasons = tuple(f"the self-test failed: {probe.name}: {probe.detail}" for probe in failed)
        return IsolationReport(level=0, reasons=(*reasons, _LOCAL_ONLY), hint=_ALLOW, probes=probes)
    return IsolationReport(level=2, probes=probes, facts=facts)


class _NotBuilt(Exception):
    """Bubblewrap ended before the self-test could answer."""


def _run_selftest(facts: Facts, scratch: Path) -> tuple[Probe, ...]:
    """Run the self-test in just such a box as attempts get, with canaries planted around it."""
    scratch.mkdir(parents=True, exist_ok=True)
    canary = f"canary-{secrets.token_hex(16)}"
    with tempfile.TemporaryDirectory(dir=scratch, prefix="selftest-") as name, _trap(canary) as trap:
        folder = Path(name).resolve()
        private, outside = folder / "private.txt", folder.parent / f"{folder.name}.txt"
        private.write_text(canary, encoding="utf-8")
        outside.write_text(canary, encoding="utf-8")
        box_folder = folder / "box"
        for each in WRITABLE:
            (box_folder / each).mkdir(parents=True)
        shutil.copy(INSIDE / "selftest.py", box_folder / "work" / "selftest.py")
        told = {
            "canary": canary,
            "private": str(private),
            "outside": str(outside),
            "readonly": [sys.prefix, str(Path(sys.prefix).resolve())],
            "work": str(box_folder / "work"),
            "out": str(box_folder / "out"),
            **trap,
        }
        box = Box(
            directory=str(box_folder),
            cwd=str(box_folder / "work"),
            env_path=sys.prefix,
            private=(str(scratch.resolve()),),
            network=False,
        )
        try:
            answer = _run(box, facts, told)
        finally:
            outside.unlink()
    return tuple(Probe(name=name, passed=not detail, detail=detail) for name, detail in answer.items())


def _run(box: Box, facts: Facts, told: dict[str, object]) -> dict[str, str]:
    argv = [sys.executable, "-I", "selftest.py", json.dumps(told)]
    with sealed(box, facts, argv, {"PATH": "/usr/bin:/bin"}) as ready:
        done = subprocess.run(
            ready.argv,
            env=ready.environment,
            pass_fds=ready.descriptors,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
    if done.returncode != 0:
        raise _NotBuilt(done.stderr.decode(errors="replace").strip()[-500:] or f"exit code {done.returncode}")
    answer: dict[str, str] = json.loads(done.stdout)
    return answer


@contextmanager
def _trap(canary: str) -> Iterator[dict[str, object]]:
    """Listen where nothing from inside may arrive, beside a process whose environment nobody inside may read."""
    abstract = f"headway-{secrets.token_hex(8)}"
    decoy = subprocess.Popen(["sleep", str(_SECONDS * 2)], env={"PATH": "/usr/bin:/bin", "CANARY": canary})
    try:
        with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as local:
            local.bind("\0" + abstract)
            local.listen()
            yield {"port": server.getsockname()[1], "abstract": abstract, "host_pid": decoy.pid}
    finally:
        decoy.kill()
        decoy.wait()

"""`headway doctor`: every check that support would ask for, with what to do where it fails."""

from __future__ import annotations

import platform
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

import msgspec

from headway.app import ISOLATION_FILE, App
from headway.engines.base import Isolation
from headway.engines.proof import findings
from headway.errors import NotFound, Refused
from headway.flow.sending import undelivered
from headway.forges.repo_store import RepoStore
from headway.sandbox.isolation import IsolationReport

if TYPE_CHECKING:
    from headway.forges.github.proof import Finding

SPACE_WANTED_GB = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedItem:
    """One thing that was looked at."""

    name: str
    state: str  # ok | warn | fail
    found: str
    cause: str = ""
    hint: str = ""


def check_up(app: App, *, asks_github: bool = True) -> list[CheckedItem]:
    """Look at everything that a job or a release will need."""
    return [*_items(app), *(_github(app) if asks_github else ())]


def _items(app: App) -> Iterator[CheckedItem]:
    yield CheckedItem(name="python", state="ok", found=f"{platform.python_version()} on {platform.platform()}")
    yield _program("git", "install git: every commit is read with it")
    yield CheckedItem(name="uv", state="ok", found=version("uv"))
    yield from _isolation(app)
    yield from _engines(app)
    yield _space(app)
    yield _database(app)
    yield _repositories(app)
    yield from _outbox(app)
    yield CheckedItem(
        name="gpu",
        state="ok",
        found=_first_line(["nvidia-smi", "-L"]) if shutil.which("nvidia-smi") else "none seen (nvidia-smi is absent)",
    )


def _program(name: str, hint: str) -> CheckedItem:
    if shutil.which(name) is None:
        return CheckedItem(name=name, state="fail", found="not on PATH", hint=hint)
    return CheckedItem(name=name, state="ok", found=_first_line([name, "--version"]))


def _first_line(argv: list[str]) -> str:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{argv[0]} does not answer: {type(error).__name__}"
    return (done.stdout or done.stderr).strip().partition("\n")[0]


def _isolation(app: App) -> Iterator[CheckedItem]:
    """What the worker's self-test proved at its start."""
    try:
        report = msgspec.json.decode((app.data / ISOLATION_FILE).read_bytes(), type=IsolationReport)
    except (OSError, msgspec.DecodeError):
        yield CheckedItem(
            name="isolation", state="warn", found="not tested yet", hint="the worker tests it at its start"
        )
        return
    found = f"L{report.level}" + (f": {'; '.join(report.reasons)}" if report.reasons else "")
    state = "ok" if report.level >= int(Isolation.L2) else "warn"
    yield CheckedItem(name="isolation", state=state, found=found, hint=report.hint)


def _engines(app: App) -> Iterator[CheckedItem]:
    """What engines and targets elsewhere need: a cluster that answers, and rights in it."""
    for place in (*app.engines.values(), *app.targets.values()):
        for each in findings(place):
            yield CheckedItem(name=each.name, state=each.state, found=each.found, cause=each.cause, hint=each.hint)


def _space(app: App) -> CheckedItem:
    free = shutil.disk_usage(app.data).free / 1e9
    state = "ok" if free > SPACE_WANTED_GB else "warn"
    hint = "" if state == "ok" else "headway server clean frees what nothing refers to"
    return CheckedItem(name="disk", state=state, found=f"{free:.1f} GB free in {app.data}", hint=hint)


def _database(app: App) -> CheckedItem:
    dialect = app.database.engine.dialect.name
    with app.database.read() as tx:
        said = str(tx.exec_driver_sql("PRAGMA quick_check" if app.database.is_sqlite else "SELECT 'ok'").scalar())
    mode = oct(app.data.stat().st_mode & 0o777)
    if said != "ok":
        return CheckedItem(name="database", state="fail", found=said, hint="restore the latest backup")
    return CheckedItem(name="database", state="ok", found=f"{dialect}, intact; folder mode {mode}")


def _github(app: App) -> Iterator[CheckedItem]:
    """Everything that has to be right at GitHub, where it is set up."""
    if app.github is None:
        return
    with app.database.read() as tx:
        repos = tuple(repo for repo in RepoStore(tx).list() if repo.forge == app.github.name)
    for finding in app.github.prove(repos, public_url=app.settings.public_url):
        yield _item(finding)


def _item(finding: Finding) -> CheckedItem:
    return CheckedItem(
        name=finding.name, state=finding.state, found=finding.found, cause=finding.cause, hint=finding.hint
    )


def rehearse_live(app: App, name: str, *, change: int | None) -> list[CheckedItem]:
    """Do comment, check and deployment once on a real repository, and take everything away again.

    Raises:
        Refused: GitHub is not set up here.
        NotFound: the repository is not listened to.
    """
    if app.github is None:
        raise Refused("GitHub is not set up here", hint="headway init --github")
    with app.database.read() as tx:
        known = [repo for repo in RepoStore(tx).list() if repo.forge == app.github.name]
    repo = next((each for each in known if each.name.lower() == name.lower()), None)
    if repo is None:
        raise NotFound(f"{name[:150]} is not listened to", hint=f"headway repo add {name[:150]}")
    return [_item(finding) for finding in app.github.rehearse(repo, change=change)]


def _outbox(app: App) -> Iterator[CheckedItem]:
    """What should stand at a forge and does not: what was given up first."""
    with app.database.read() as tx:
        found = undelivered(tx, app.clock.now(), limit=20)
    if not found:
        yield CheckedItem(name="outbox", state="ok", found="everything that was said stands at its forge")
    for each in found:
        is_dead = each.next_at is None
        when = "given up" if is_dead else f"tried {each.tries} times, next at {each.next_at:%H:%M:%S} UTC"
        yield CheckedItem(
            name="outbox",
            state="fail" if is_dead else "warn",
            found=f"{each.repo}: {each.what}: {when}: {each.why}",
            hint="the next /train or /plan says it anew"
            if is_dead
            else "it is sent by itself as soon as the forge takes it",
        )


def _repositories(app: App) -> CheckedItem:
    with app.database.read() as tx:
        names = [repo.name for repo in RepoStore(tx).list()]
    return CheckedItem(name="repositories", state="ok", found=", ".join(names) or "none yet: run a command in one")

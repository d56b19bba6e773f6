"""How long things are kept: the server's setting, and each project's own rules as its default branch has them."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from headway.app import App
from headway.auth.projects import ProjectStore
from headway.errors import HeadwayError
from headway.flow.projects import projects_at, resolve
from headway.forges.repo_store import RepoStore
from headway.logs import logger
from headway.projects.model import RetentionSpec

FILE = "retention.json"
LEAST = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepRules:
    """The rules in force; a project's experiment has the project's name."""

    at: datetime | None = None  # when the projects were read
    trash: timedelta | None = None  # of the server; None: never by itself
    projects: Mapping[str, RetentionSpec] = field(default_factory=dict)

    @classmethod
    def read(cls, app: App) -> KeepRules:
        """Return the rules as the worker read them last from the default branches."""
        days = app.settings.trash_days
        known = KeepRules()
        with contextlib.suppress(OSError, msgspec.DecodeError):
            known = msgspec.json.decode((app.data / FILE).read_bytes(), type=KeepRules)
        return KeepRules(at=known.at, trash=timedelta(days=days) if days > 0 else None, projects=known.projects)

    def trash_for(self, project: str, experiment: str) -> timedelta | None:
        """Return how long something of an experiment stays in the trash; None: until a person purges it."""
        own = self.projects.get(key_of(project, experiment))
        return self.trash if own is None or own.trash is None else max(own.trash, LEAST)


def key_of(project: str, experiment: str) -> str:
    """Return under which name an experiment's rules are kept: two projects may have experiments of one name."""
    return f"{project}/{experiment}"


def refresh(app: App) -> KeepRules:
    """Read every project's rules from its default branch, never from a change, and keep them for all processes."""
    found: dict[str, RetentionSpec] = {}
    with app.database.read() as tx:
        repos = [(repo, ProjectStore(tx).of_repo(repo.id)) for repo in RepoStore(tx).list()]
    for repo, project in repos:
        try:
            main = resolve(app, repo, repo.default_branch)
            specs = [each.spec for each in projects_at(app, repo.id, head=main, base=main)]
        except HeadwayError as error:
            # Whatever the rules say there: until they can be read again, nothing of this project ends by itself.
            logger().warning("retention rules cannot be read", repo=repo.name, error=error.message)
            found |= {name: _NEVER for name in KeepRules.read(app).projects if name.startswith(f"{project}/")}
            continue
        for spec in specs:
            name = key_of(project, spec.name)
            known = found.get(name)
            found[name] = spec.retention if known is None else _longer(known, spec.retention)
    rules = KeepRules(at=app.clock.now(), projects=found)
    _write(app.data / FILE, msgspec.json.encode(rules))
    return KeepRules.read(app)


_NEVER = RetentionSpec(trash=timedelta(days=36_500))


def _longer(a: RetentionSpec, b: RetentionSpec) -> RetentionSpec:
    """Two repositories of a project share an experiment: what keeps more counts."""
    is_both = a.ends_runs and b.ends_runs
    return RetentionSpec(
        trash=None if a.trash is None or b.trash is None else max(a.trash, b.trash),
        keep_last=max(a.keep_last or 0, b.keep_last or 0) or None if is_both else None,
        keep_days=max(a.keep_days or 0, b.keep_days or 0) or None if is_both else None,
    )


def _write(path: Path, content: bytes) -> None:
    draft = path.with_name(f".{path.name}.draft")
    draft.write_bytes(content)
    draft.replace(path)

"""What keeps a run or a logged model from being deleted for good: whatever still lives and refers to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection, Select, func, select

from headway.app import App
from headway.blobs.keys import parents
from headway.clock import to_millis
from headway.db import schema
from headway.serving.model import ReleaseState
from headway.serving.store import DeploymentStore

# A deleted run takes no more writes: whatever still ran then has long ended after this.
ABANDONED = timedelta(hours=24)
_RUNNING = ("RUNNING", "SCHEDULED")
_SLICE = 400
_UNSHIPPED = (ReleaseState.FAILED.value, ReleaseState.REFUSED.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Why something stays, and what would let it go."""

    reason: str
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What is asked of a run that shall go."""

    run_id: str
    folder: str | None  # key of its folder; None when the bytes lie elsewhere
    status: str = "FINISHED"
    deleted_time: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """What is asked of a logged model that shall go."""

    model_id: str
    folder: str | None


class Holds:
    """Everything that is referred to, read once in a transaction and asked many times."""

    def __init__(self, app: App, tx: Connection, *, forget_results: bool = False) -> None:
        """Read what lives; `forget_results` lets results go that only a later reuse would want."""
        self._now = app.clock.now()
        self._tx = tx
        self._forget = forget_results
        self._made_by: dict[str, str] = {}
        self._models: dict[str, str] = {}
        self._folders: dict[str, Hold] = {}
        self._read_versions()
        self._read_deployments(app.data / "artifacts")

    def of_runs(self, runs: Iterable[RunFacts]) -> dict[str, Hold]:
        """Return the runs that must stay, by id."""
        asked = list(runs)
        jobs = self._jobs([each.run_id for each in asked])
        found = {each.run_id: self._of_run(each, jobs) for each in asked}
        return {run_id: hold for run_id, hold in found.items() if hold is not None}

    def of_models(self, models: Iterable[ModelFacts]) -> dict[str, Hold]:
        """Return the logged models that must stay, by id."""
        found: dict[str, Hold] = {}
        for each in models:
            hold = self.of_folder(each.folder)
            if each.model_id in self._models:
                hold = hold or _version_hold(self._models[each.model_id], "is it")
            if hold is not None:
                found[each.model_id] = hold
        return found

    def of_folder(self, folder: str | None) -> Hold | None:
        """Return what refers to a file in a folder of artifacts, or to the whole folder."""
        return self._folders.get(folder) if folder else None

    def _of_run(self, run: RunFacts, jobs: Mapping[str, Hold]) -> Hold | None:
        if run.status in _RUNNING and not self._is_abandoned(run.deleted_time):
            return Hold(
                reason=f"it is still {run.status.lower()}",
                hint="restore it, end it, delete it again; or wait: a day after its deletion it counts as abandoned",
            )
        if run.run_id in self._made_by:
            return _version_hold(self._made_by[run.run_id], "was made by it")
        return self.of_folder(run.folder) or jobs.get(run.run_id)

    def _is_abandoned(self, deleted_time: int | None) -> bool:
        return deleted_time is not None and deleted_time < to_millis(self._now - ABANDONED)

    def _read_versions(self) -> None:
        table = schema.model_version.c
        rows = self._tx.execute(select(table.model, table.number, table.source, table.run_id, table.model_id))
        for name, number, source, run_id, model_id in rows:
            label = f"version {number} of model {name}"
            if run_id:
                self._made_by.setdefault(run_id, label)
            if model_id:
                self._models.setdefault(model_id, label)
            if source:
                self._hold_folder(source, _version_hold(label, "has its files there"))

    def _read_deployments(self, artifacts: Path) -> None:
        for kept in DeploymentStore(self._tx).all():
            name = kept.deployment.name
            routes = [*((each, "serves it") for each in kept.deployment.routes if each.source)]
            routes += [(each, "may be rolled back to it") for each in kept.history if each.source]
            for route, words in routes:
                if Path(route.source).is_relative_to(artifacts):
                    key = Path(route.source).relative_to(artifacts).as_posix()
                    hold = Hold(reason=f"deployment {name} {words}", hint=f"headway endpoints show {name}")
                    self._hold_folder(key, hold)

    def _hold_folder(self, key: str, hold: Hold) -> None:
        for folder in (key, *parents(key)):
            self._folders.setdefault(folder, hold)

    def _jobs(self, run_ids: list[str]) -> dict[str, Hold]:
        found: dict[str, Hold] = {}
        for start in range(0, len(run_ids), _SLICE):
            for run_id, hold in self._jobs_of(run_ids[start : start + _SLICE]):
                found.setdefault(run_id, hold)
        return found

    def _jobs_of(self, run_ids: list[str]) -> Iterator[tuple[str, Hold]]:
        task, job = schema.task.c, schema.job.c
        of_runs = select(task.run_id, job.number, job.project).join(schema.job, job.id == task.job_id)
        of_runs = of_runs.where(task.run_id.in_(run_ids))
        yield from self._each(of_runs.where(job.settled_at.is_(None)), "job #{} is not settled", "headway jobs")
        base = of_runs.where(job.id.in_(_baseline_jobs(self._tx)))
        yield from self._each(base, "job #{} is the baseline of {}", "merge a later change; then another is")
        shipped = of_runs.where(job.id.in_(_released_jobs(self._tx)))
        yield from self._each(shipped, "the model of job #{} was released", "what was released stays explained")
        if not self._forget:
            kept = schema.task_result.c
            reused = select(kept.run_id, job.number, job.project).join(schema.job, job.id == kept.job_id)
            yield from self._each(
                reused.where(kept.run_id.in_(run_ids)),
                "its result is reused where job #{} would be repeated",
                "headway trash purge --forget-results lets such steps be trained anew",
            )

    def _each(self, query: Select[Any], words: str, hint: str) -> Iterator[tuple[str, Hold]]:
        for run_id, number, project in self._tx.execute(query):
            if run_id:
                yield run_id, Hold(reason=words.format(number, project), hint=hint)


def _version_hold(label: str, words: str) -> Hold:
    return Hold(reason=f"{label} {words}", hint="delete that version first; a released one after its deployment")


def _baseline_jobs(tx: Connection) -> list[str]:
    """Return the jobs that later changes are compared with now: one a project."""
    table = schema.result.c
    newest = (
        select(table.repo_id, table.project, func.max(table.at).label("at"))
        .where(table.is_baseline.is_(True))
        .group_by(table.repo_id, table.project)
        .subquery()
    )
    same = (table.repo_id == newest.c.repo_id) & (table.project == newest.c.project) & (table.at == newest.c.at)
    return list(tx.execute(select(table.job_id).join(newest, same).where(table.is_baseline.is_(True))).scalars())


def _released_jobs(tx: Connection) -> list[str]:
    """Return the jobs whose models were released, and those of the versions that serve."""
    table = schema.release.c
    bodies = tx.execute(select(table.body).where(table.state.not_in(_UNSHIPPED))).scalars()
    jobs = {str(body.get("job_id", "")) for body in bodies if isinstance(body, dict)}
    serving = {(route.model, route.version) for kept in DeploymentStore(tx).all() for route in kept.deployment.routes}
    version = schema.model_version.c
    for model, number in serving:
        lineage = tx.execute(select(version.lineage).where(version.model == model, version.number == number)).scalar()
        plain = msgspec.to_builtins(lineage) if lineage is not None else {}
        jobs.add(str(plain.get("job_id", "")) if isinstance(plain, dict) else "")
    return sorted(jobs - {""})

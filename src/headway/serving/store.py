"""Deployments and releases as the database keeps them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, select

from headway.db import events, schema
from headway.errors import Conflict
from headway.serving.model import Deployment, Observed, Release, ReleaseState, Route

_KEPT_HISTORY = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptDeployment:
    """A deployment with everything recorded of it."""

    deployment: Deployment
    repo_id: str
    observed: Observed | None = None
    observed_at: datetime | None = None
    history: tuple[Route, ...] = ()  # routes that served 100 %, oldest first

    @property
    def serving(self) -> Route | None:
        """The route with the largest share; None when nothing serves."""
        routes = [route for route in self.deployment.routes if route.weight > 0]
        return max(routes, key=lambda route: route.weight, default=None)

    @property
    def is_in_force(self) -> bool:
        """Whether the target shows the newest revision."""
        return self.observed is not None and self.observed.revision >= self.deployment.revision

    def route_of(self, version: int) -> Route | None:
        """Return how a version is or was served."""
        known = [route for route in (*self.history, *self.deployment.routes) if route.version == version]
        return known[-1] if known else None

    def rollback_route(self, to_version: int | None = None) -> Route | None:
        """Return the route that `/rollback` goes back to: the newest other one that served everything."""
        serving = self.serving
        for route in reversed(self.history):
            if to_version is None and serving is not None and route.version == serving.version:
                continue
            if to_version is None or route.version == to_version:
                return route
        return None


class DeploymentStore:
    """The wanted state of every deployment, inside one transaction."""

    def __init__(self, tx: Connection) -> None:
        """Read and write through this connection."""
        self._tx = tx

    def get(self, name: str) -> KeptDeployment | None:
        """Return a deployment by name."""
        found = self.find(schema.deployment.c.name == name)
        return found[0] if found else None

    def all(self) -> list[KeptDeployment]:
        """Return every deployment by name."""
        return self.find()

    def find(self, *where: ColumnElement[bool]) -> list[KeptDeployment]:
        """Return matching deployments by name."""
        query = select(schema.deployment).where(*where).order_by(schema.deployment.c.name)
        return [_kept(row) for row in self._tx.execute(query).mappings()]

    def save(
        self, deployment: Deployment, *, repo_id: str, at: datetime, actor: str, reason: str = ""
    ) -> KeptDeployment:
        """Make this the wanted state; its revision must be the one that was read, 0 for a new one.

        Returns what is kept, with the next revision.

        Raises:
            Conflict: somebody else changed the deployment since.
        """
        table = schema.deployment
        fresh = replace(deployment, revision=deployment.revision + 1)
        values: dict[str, Any] = {"body": fresh, "revision": fresh.revision, "target": fresh.target}
        if deployment.revision == 0:
            if self.get(deployment.name) is not None:
                raise _moved(deployment.name)
            place = {"name": fresh.name, "project": fresh.project, "environment": fresh.environment}
            self._tx.execute(table.insert().values(**place, **values, repo_id=repo_id, history=[]))
        else:
            condition = (table.c.name == deployment.name, table.c.revision == deployment.revision)
            if self._tx.execute(table.update().where(*condition).values(**values)).rowcount == 0:
                raise _moved(deployment.name)
        events.record(
            self._tx,
            "deployment",
            fresh.name,
            from_state=f"r{deployment.revision}" if deployment.revision else None,
            to_state=f"r{fresh.revision}",
            at=at,
            actor=actor,
            reason=reason,
            detail={f"v{route.version}": route.weight for route in fresh.routes},
        )
        kept = self.get(fresh.name)
        assert kept is not None  # noqa: S101  # written three statements ago
        return kept

    def serves_all(self, name: str, route: Route) -> None:
        """Remember that this route has served everything: `/rollback` may come back to it."""
        kept = self.get(name)
        if kept is None:
            return
        earlier = [one for one in kept.history if one.version != route.version]
        history = [*earlier, replace(route, weight=100)][-_KEPT_HISTORY:]
        table = schema.deployment
        self._tx.execute(table.update().where(table.c.name == name).values(history=history))

    def observe(self, name: str, observed: Observed, at: datetime) -> None:
        """Record what a target shows; only `serving/reconcile.py` calls this."""
        table = schema.deployment
        self._tx.execute(table.update().where(table.c.name == name).values(observed=observed, observed_at=at))

    def remove(self, name: str, *, at: datetime, actor: str) -> None:
        """Forget a deployment; absent is fine."""
        table = schema.deployment
        if self._tx.execute(table.delete().where(table.c.name == name)).rowcount:
            events.record(self._tx, "deployment", name, to_state="removed", at=at, actor=actor)


def _moved(name: str) -> Conflict:
    return Conflict(f"the deployment {name} was changed meanwhile", hint="look at it again, then repeat the command")


def _kept(row: Any) -> KeptDeployment:
    return KeptDeployment(
        deployment=msgspec.convert(row["body"], Deployment),
        repo_id=row["repo_id"],
        observed=None if row["observed"] is None else msgspec.convert(row["observed"], Observed, strict=False),
        observed_at=row["observed_at"],
        history=msgspec.convert(row["history"], tuple[Route, ...]),
    )


class ReleaseStore:
    """Releases, inside one transaction."""

    def __init__(self, tx: Connection) -> None:
        """Read and write through this connection."""
        self._tx = tx

    def get(self, release_id: str) -> Release | None:
        """Return a release by id."""
        found = self.find(schema.release.c.id == release_id, limit=1)
        return found[0] if found else None

    def find(self, *where: ColumnElement[bool], limit: int = 100) -> list[Release]:
        """Return matching releases, newest first."""
        query = select(schema.release.c.body).where(*where).order_by(schema.release.c.id.desc()).limit(limit)
        return [msgspec.convert(body, Release) for body in self._tx.execute(query).scalars()]

    def unfinished(self) -> list[Release]:
        """Return releases that are not at their end, oldest first."""
        final = [state.value for state in ReleaseState if state.is_final]
        table = schema.release
        query = select(table.c.body).where(table.c.state.not_in(final)).order_by(table.c.id)
        return [msgspec.convert(body, Release) for body in self._tx.execute(query).scalars()]

    def add(self, release: Release, *, actor: str) -> Release:
        """Record a new release; the same command for the same project gives the one that is there."""
        table = schema.release
        same = self.find(table.c.command_id == release.command_id, table.c.project == release.project, limit=1)
        if same:
            return same[0]
        self._tx.execute(table.insert().values(id=release.id, **_columns(release)))
        self._record(release, None, actor=actor, at=release.created_at)
        return release

    def save(self, release: Release, *, before: Release, actor: str, at: datetime) -> Release:
        """Replace `before` by `release`; returns it with its new version.

        Raises:
            Conflict: somebody else moved the release since `before` was read.
        """
        table = schema.release
        fresh = replace(release, version_no=before.version_no + 1)
        condition = (
            table.c.id == before.id,
            table.c.state == before.state.value,
            table.c.version_no == before.version_no,
        )
        if self._tx.execute(table.update().where(*condition).values(**_columns(fresh))).rowcount == 0:
            raise Conflict(f"the release {before.id} was moved meanwhile", hint="look at it again")
        if (before.state, before.step, before.approved_by) != (fresh.state, fresh.step, fresh.approved_by):
            self._record(fresh, before.state.value, actor=actor, at=at)
        return fresh

    def _record(self, release: Release, from_state: str | None, *, actor: str, at: datetime) -> None:
        events.record(
            self._tx,
            "release",
            release.id,
            from_state=from_state,
            to_state=release.state.value,
            at=at,
            actor=actor,
            reason=release.reason,
            detail={
                "model": release.model,
                "version": release.version,
                "step": release.step,
                "approved_by": release.approved_by,
                "environment": release.environment,
                "command": release.command_id,
                "sha": release.commit,
                "digest": _digest(self._tx, release),
                "rules": release.rules_commit,
            },
        )


def _digest(tx: Connection, release: Release) -> str:
    """Return what a release's version has in it, for the audit: numbers are names, and this is the thing."""
    table = schema.model_version.c
    named = (table.model == release.model, table.number == release.version)
    return tx.execute(select(table.digest).where(*named)).scalar() or ""


def _columns(release: Release) -> dict[str, Any]:
    return {
        "project": release.project,
        "repo_id": release.repo_id,
        "environment": release.environment,
        "change": release.change,
        "command_id": release.command_id,
        "state": release.state.value,
        "body": release,
        "version_no": release.version_no,
        "created_at": release.created_at,
        "finished_at": release.finished_at,
    }

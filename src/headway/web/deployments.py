"""Deployments: what shall serve, what serves, how releases went, and the way back."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy import Connection, select
from starlette.responses import Response

from headway.app import App
from headway.auth.visible import in_sight, repos_in_sight
from headway.db import schema
from headway.errors import HeadwayError, NotFound
from headway.flow.why import Link, trace
from headway.forges.repo_store import RepoStore
from headway.jobs.store import JobStore
from headway.registry.store import RegistryStore
from headway.serving.model import Release, Route, VersionCounters
from headway.serving.store import DeploymentStore, KeptDeployment, ReleaseStore
from headway.web.visit import Visit

PAGE = 50
TAIL = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A version that a deployment serves or has served."""

    route: Route
    state: str  # as the target sees it: loading | ready | failed: reason
    counters: VersionCounters | None
    job: int | None  # whose model it is: what `/deploy` names
    may_go_back: bool  # it served everything once, and does not now


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One deployment with all that is known of it."""

    kept: KeptDeployment
    routes: tuple[Served, ...]
    earlier: tuple[Served, ...]  # versions that served everything once, newest first
    releases: tuple[Release, ...]
    back: Route | None  # where `/rollback` leads

    @property
    def moving(self) -> Release | None:
        """The release that is under way, if one is."""
        return next((each for each in self.releases if not each.state.is_final), None)


def list_deployments(visit: Visit) -> Response:
    """Show every deployment; live, because canaries move by themselves."""
    with visit.app.database.read() as tx:
        who = visit.principal
        seen = DeploymentStore(tx).find(*repos_in_sight(who, schema.deployment.c.repo_id))
        panels = [_panel(visit.app, tx, kept) for kept in seen]
        repos = {repo.id: repo for repo in RepoStore(tx).list(*in_sight(who, schema.repo.c.project))}
        unfinished = [each for each in ReleaseStore(tx).unfinished() if who.reach is None or each.repo_id in repos]
        waiting = [each for each in unfinished if not _has_panel(each, panels)]
    panels.sort(key=lambda each: (each.kept.deployment.environment == "staging", each.kept.deployment.name))
    is_busy = bool(waiting) or any(each.moving or not each.kept.is_in_force for each in panels)
    return visit.page(
        "deployments_live.html" if visit.is_part else "deployments.html",
        panels=panels,
        repos=repos,
        waiting=waiting,
        every=2 if is_busy else 10,
    )


def _has_panel(release: Release, panels: list[Panel]) -> bool:
    return any(
        panel.kept.deployment.project == release.project and panel.kept.deployment.environment == release.environment
        for panel in panels
    )


def show(visit: Visit) -> Response:
    """Show one deployment with the last lines of its log."""
    name = visit.path["name"]
    with visit.app.database.read() as tx:
        kept = DeploymentStore(tx).get(name)
        if kept is None:
            raise NotFound(f"there is no deployment {name!r}", hint="/deployments lists them")
        panel = _panel(visit.app, tx, kept)
    try:
        lines = list(visit.app.target(kept.deployment.target).logs(name, TAIL))
    except (HeadwayError, OSError) as error:
        lines = [f"the log cannot be read: {error}"]
    return visit.page("deployment.html", panel=panel, lines=lines)


def _panel(app: App, tx: Connection, kept: KeptDeployment) -> Panel:
    wanted = kept.deployment
    releases = ReleaseStore(tx).find(
        schema.release.c.repo_id == kept.repo_id,
        schema.release.c.project == wanted.project,
        schema.release.c.environment == wanted.environment,
        limit=20,
    )
    current = {route.version for route in wanted.routes}
    return Panel(
        kept=kept,
        routes=tuple(_served(app, tx, kept, route) for route in sorted(wanted.routes, key=lambda each: -each.weight)),
        earlier=tuple(
            _served(app, tx, kept, replace(route, weight=0))
            for route in reversed(kept.history)
            if route.version not in current
        ),
        releases=tuple(releases),
        back=kept.rollback_route(),
    )


def _served(app: App, tx: Connection, kept: KeptDeployment, route: Route) -> Served:
    observed = kept.observed
    counters = next((each for each in observed.counters if each.version == route.version), None) if observed else None
    return Served(
        route=route,
        state=observed.versions.get(route.version, "unknown") if observed else "unknown",
        counters=counters,
        job=_job_of(app, tx, route.model, route.version),
        may_go_back=route.weight == 0 and any(each.version == route.version for each in kept.history),
    )


def _job_of(app: App, tx: Connection, model: str, version: int) -> int | None:
    try:
        lineage = RegistryStore(tx, app.clock).lineage(model, version)
    except NotFound:
        return None
    found = JobStore(tx).find(schema.job.c.id == lineage.job_id, limit=1) if lineage.job_id else []
    return found[0].number if found else None


def release(visit: Visit) -> Response:
    """Show one release: its stages, what the team's test answered, who approved, and every move of it."""
    with visit.app.database.read() as tx:
        found = ReleaseStore(tx).get(visit.path["release"])
        if found is None:
            raise NotFound(f"there is no release {visit.path['release']}", hint="/deployments lists them")
        table = schema.event
        where = (table.c.entity == "release", table.c.entity_id == found.id)
        rows = tx.execute(select(table).where(*where).order_by(table.c.seq)).mappings()
        events = [dict(row) for row in rows]
        job = _job_of(visit.app, tx, found.model, found.version) if found.model else None
    return visit.page(
        "release_live.html" if visit.is_part else "release.html",
        release=found,
        events=events,
        job=job,
        every=2,
    )


def why(visit: Visit) -> Response:
    """Walk back from a request id, a deployment or a version to its causes."""
    subject = visit.query.get("subject", "").strip()[:200]
    links: list[Link] = []
    error: HeadwayError | None = None
    if subject:
        try:
            links = trace(visit.app, subject, visit.principal)
        except HeadwayError as failed:
            error = failed
    return visit.page("why.html", subject=subject, links=links, error=error)

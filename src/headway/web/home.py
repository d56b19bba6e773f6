"""The first page: what needs me, what is under way; and the record of everything that happened."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from starlette.responses import Response

from headway.auth.visible import in_sight, repos_in_sight
from headway.db import schema
from headway.flow.sending import undelivered
from headway.forges.repo_store import RepoStore
from headway.jobs.store import JobStore
from headway.serving.model import ReleaseState
from headway.serving.store import DeploymentStore, ReleaseStore
from headway.web.changes import changes_of
from headway.web.jobs import lines_of
from headway.web.visit import Visit

EVENTS = 100
_RECENT = 8
_UNSAID = 20


def home(visit: Visit) -> Response:
    """Show what waits for a person, then what runs, then what happened last."""
    app = visit.app
    with app.database.read() as tx:
        store, who = JobStore(tx), visit.principal
        repos = RepoStore(tx).list(*in_sight(who, schema.repo.c.project))
        own = {repo.id for repo in repos} if who.reach is not None else None
        under_way = lines_of(tx, [job for job in store.unfinished() if own is None or job.repo_id in own])
        latest = lines_of(tx, store.find(*repos_in_sight(who, schema.job.c.repo_id), limit=_RECENT))
        releases = [each for each in ReleaseStore(tx).unfinished() if own is None or each.repo_id in own]
        deployments = DeploymentStore(tx).find(*repos_in_sight(who, schema.deployment.c.repo_id))
        names = {repo.name for repo in repos}
        unsaid = [each for each in undelivered(tx, app.clock.now(), limit=_UNSAID) if each.repo in names]
    return visit.page(
        "home_live.html" if visit.is_part else "home.html",
        under_way=under_way,
        latest=latest,
        waiting=[each for each in releases if each.state is ReleaseState.WAITING],
        moving=[each for each in releases if each.state is not ReleaseState.WAITING],
        repos=[changes_of(app, repo, state="open") for repo in repos],
        deployments=deployments,
        unsaid=unsaid,
        every=2 if under_way or releases else 15,
    )


def events(visit: Visit) -> Response:
    """Show who made what of which thing, when and why; newest first."""
    table = schema.event
    before = visit.number("before", 0, most=10**15)
    chosen = {name: visit.query.get(name, "") for name in ("entity", "entity_id", "actor")}
    where = [table.c[name] == value for name, value in chosen.items() if value]
    if before:
        where.append(table.c.seq < before)
    with visit.app.database.read() as tx:
        rows: list[dict[str, Any]] = [
            dict(row)
            for row in tx.execute(
                select(table).where(*where).order_by(table.c.seq.desc()).limit(EVENTS + 1),
            ).mappings()
        ]
        entities = list(tx.execute(select(table.c.entity).distinct().order_by(table.c.entity)).scalars())
    older = int(rows[EVENTS - 1]["seq"]) if len(rows) > EVENTS else 0
    return visit.page("events.html", rows=rows[:EVENTS], chosen=chosen, entities=entities, older=older)

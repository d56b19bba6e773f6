"""Which commits a project's own tracker is asked about: heads of members' open changes, and the default branch."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection

from headway.app import App
from headway.flow.projects import ProjectAt
from headway.forges.model import BranchPushed, Change, ChangeMoved
from headway.tracking.outside_store import LIVE_MAIN, OutsideStore


def watch_change(tx: Connection, change: Change, projects: Iterable[ProjectAt]) -> None:
    """Look at the head of an open change, and at the commit that it is compared with; a fork's are left alone.

    Anybody may tag a run with a fork's commit and nobody of ours has seen its code: it has to be trained here.
    """
    store = OutsideStore(tx)
    store.leave(change.repo_id, change=change.number, but=change.head_sha)
    if change.from_fork:
        return
    for project in projects:
        tracking = project.spec.tracking
        if tracking is None or not project.is_touched:
            continue
        name = project.spec.name
        store.watch(
            change.repo_id,
            name,
            change.head_sha,
            tracking=tracking,
            change=change.number,
            branch=change.head_ref,
            base_sha=change.base_sha,
        )
        if store.look(change.repo_id, name, change.base_sha) is None:
            store.watch(change.repo_id, name, change.base_sha, tracking=tracking, branch=change.base_ref)


def leave_change(app: App, event: ChangeMoved) -> None:
    """Look no more at a change that is merged or closed: what was judged stands."""
    with app.database.write() as tx:
        OutsideStore(tx).leave(event.change.repo_id, change=event.change.number)


def watch_branch(app: App, event: BranchPushed, projects: Iterable[ProjectAt]) -> None:
    """Look at what the default branch is now, by the trackers that it names now."""
    with app.database.write() as tx:
        store = OutsideStore(tx)
        for project in projects:
            name, tracking = project.spec.name, project.spec.tracking
            store.renamed(event.repo_id, name, tracking)
            if tracking is None:
                continue
            store.watch(event.repo_id, name, event.after_sha, tracking=tracking, branch=event.branch)
            older = [look.commit for look in store.live(event.repo_id, name) if look.change is None]
            store.leave_old(event.repo_id, name, keep=[event.after_sha, *older][-LIVE_MAIN:])

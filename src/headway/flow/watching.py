"""Which commits a project's own tracker is asked about: heads of members' open changes, and the default branch."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection

from headway.app import App
from headway.flow.projects import ProjectAt
from headway.forges.model import BranchPushed, Change, ChangeMoved
from headway.tracking.outside_store import OutsideStore
from headway.tracking.watch_list import LIVE_MAIN, WatchList


def watch_change(tx: Connection, change: Change, projects: Iterable[ProjectAt]) -> None:
    """Look at the head of an open change, and at the commit that it is compared with; a fork's are left alone.

    Anybody may tag a run with a fork's commit and nobody of ours has seen its code: it has to be trained here.
    """
    watched = WatchList(tx)
    watched.leave(change.repo_id, change=change.number, but=change.head_sha)
    if change.from_fork:
        return
    for project in projects:
        tracking = project.spec.tracking
        if tracking is None or not project.is_touched:
            continue
        name = project.spec.name
        watched.watch(
            change.repo_id,
            name,
            change.head_sha,
            tracking=tracking,
            change=change.number,
            branch=change.head_ref,
            base_sha=change.base_sha,
        )
        if OutsideStore(tx).look(change.repo_id, name, change.base_sha) is None:
            watched.watch(change.repo_id, name, change.base_sha, tracking=tracking, branch=change.base_ref)


def leave_change(app: App, event: ChangeMoved) -> None:
    """Look no more at a change that is merged or closed: what was judged stands."""
    with app.database.write() as tx:
        WatchList(tx).leave(event.change.repo_id, change=event.change.number)


def watch_branch(app: App, event: BranchPushed, projects: Iterable[ProjectAt]) -> None:
    """Look at what the default branch is now, by the trackers that it names now."""
    with app.database.write() as tx:
        watched = WatchList(tx)
        for project in projects:
            name, tracking = project.spec.name, project.spec.tracking
            watched.renamed(event.repo_id, name, tracking)
            if tracking is None:
                continue
            watched.watch(event.repo_id, name, event.after_sha, tracking=tracking, branch=event.branch)
            older = [look.commit for look in OutsideStore(tx).live(event.repo_id, name) if look.change is None]
            watched.leave_old(event.repo_id, name, keep=[event.after_sha, *older][-LIVE_MAIN:])

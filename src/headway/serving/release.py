"""Take a release one step further: read, decide, and save release and wanted routes in one transaction.

Nothing here touches a process; `serving/reconcile.py` makes targets follow what is saved.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from headway.db import schema
from headway.errors import NotFound, Refused
from headway.projects.model import DeploySpec
from headway.serving.model import Deployment, Release, ReleaseState, Route
from headway.serving.rollout import Action, Do, Facts, Place, Tested, advance, decide, measured, routes_for
from headway.serving.store import DeploymentStore, KeptDeployment, ReleaseStore

STAGING = "staging"
_ACTOR = "rollout"
_UNTOUCHED = (ReleaseState.PENDING, ReleaseState.STAGING, ReleaseState.WAITING)
_CHANGING = (ReleaseState.LOADING, ReleaseState.CANARY, ReleaseState.ROLLING_BACK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """The version that a release is about, and how it is served."""

    route: Route  # its weight is of no matter
    spec: DeploySpec
    workdir: str = ""  # target `command`: a checkout of the base branch, where the team's script stands


def deployment_name(project: str, environment: str) -> str:
    """Return the name under which an environment of a project is served."""
    return f"{project}-{environment}"


def step_release(
    tx: Connection, release: Release, candidate: Candidate, *, now: datetime, tested: Tested | None = None
) -> tuple[Release, Action]:
    """Decide and save the next step; returns the release as it is now and what was decided.

    Call it once a second for every unfinished release. When it says RUN_TEST, run the team's test against
    the staging endpoint and give the outcome to the next call; every other action is done by saving.

    Raises:
        Conflict: somebody else moved the release or the deployment; read again and repeat.
    """
    if release.state in _UNTOUCHED:
        release = with_previous(tx, release)
    facts = gather_facts(tx, release, candidate.spec, now=now, tested=tested)
    action = decide(release, candidate.spec, facts)
    if action.do in (Do.NOTHING, Do.RUN_TEST):
        return release, action
    return _apply(tx, release, candidate, action, facts=facts, actor=_ACTOR), action


def _apply(
    tx: Connection, release: Release, candidate: Candidate, action: Action, *, facts: Facts, actor: str
) -> Release:
    saved = advance(release, action, candidate.spec, facts)
    saved = ReleaseStore(tx).save(saved, before=release, actor=actor, at=facts.now)
    store = DeploymentStore(tx)
    if action.do is Do.LOAD_IN_STAGING:
        routes = (replace(candidate.route, weight=100),)
        _want(store, saved, candidate, routes, environment=STAGING, at=facts.now)
        return saved
    kept = store.get(deployment_name(release.project, release.environment))
    previous = None if kept is None or saved.previous is None else kept.route_of(saved.previous)
    current = kept.deployment.routes if kept is not None else ()
    wanted = routes_for(saved, candidate.spec, current, candidate=candidate.route, previous=previous)
    if wanted != current:
        _want(store, saved, candidate, wanted, environment=release.environment, at=facts.now)
    if saved.state is ReleaseState.PROMOTED:
        store.serves_all(deployment_name(release.project, release.environment), candidate.route)
    return saved


def with_previous(tx: Connection, release: Release) -> Release:
    """Return the release with the version that it would replace now; that is fixed when the rollout begins."""
    kept = DeploymentStore(tx).get(deployment_name(release.project, release.environment))
    serving = kept.serving if kept is not None else None
    same = serving is not None and serving.version == release.version
    return replace(release, previous=None if serving is None or same else serving.version)


def _want(
    store: DeploymentStore,
    release: Release,
    candidate: Candidate,
    routes: tuple[Route, ...],
    *,
    environment: str,
    at: datetime,
) -> None:
    name = deployment_name(release.project, environment)
    kept = store.get(name)
    wanted = Deployment(
        name=name,
        project=release.project,
        environment=environment,
        # A script ships to production alone: what it would ship is tested here before.
        target="local" if environment == STAGING and candidate.spec.target == "command" else candidate.spec.target,
        routes=routes,
        revision=kept.deployment.revision if kept is not None else 0,
        spec=candidate.spec,
        port=kept.deployment.port if kept is not None else 0,
        workdir=candidate.workdir,
    )
    reason = release.reason or f"release {release.id}: {release.state.value}"
    store.save(wanted, repo_id=release.repo_id, at=at, actor=_ACTOR, reason=reason)


def gather_facts(
    tx: Connection, release: Release, spec: DeploySpec, *, now: datetime, tested: Tested | None = None
) -> Facts:
    """Return what a decision about the release looks at."""
    store = DeploymentStore(tx)
    others = ReleaseStore(tx).find(
        schema.release.c.project == release.project,
        schema.release.c.environment == release.environment,
        schema.release.c.id != release.id,
        schema.release.c.state.in_([state.value for state in _CHANGING]),
        limit=1,
    )
    return Facts(
        now=now,
        staging=_place(store.get(deployment_name(release.project, STAGING))) if spec.staging else Place(),
        production=_place(store.get(deployment_name(release.project, release.environment))),
        tested=tested,
        busy_with=others[0].id if others else "",
    )


def _place(kept: KeptDeployment | None) -> Place:
    return Place() if kept is None else Place(observed=kept.observed, revision=kept.deployment.revision)


def approve(tx: Connection, release: Release, *, actor: str, now: datetime) -> Release:
    """Add an approval; who may give one is the caller's matter. The same person counts once.

    Raises:
        Refused: the release does not wait for anybody any more.
    """
    if release.state not in _UNTOUCHED:
        raise Refused(f"the release is {release.state.value}: there is nothing to approve")
    if actor in release.approved_by:
        return release
    approved = replace(release, approved_by=(*release.approved_by, actor))
    return ReleaseStore(tx).save(approved, before=release, actor=actor, at=now)


def void_approvals(tx: Connection, release: Release, *, actor: str, now: datetime) -> Release:
    """Take back the approvals of a release that has changed nothing yet; it waits for them anew."""
    if release.state not in _UNTOUCHED or not release.approved_by:
        return release
    voided = replace(release, approved_by=())
    return ReleaseStore(tx).save(voided, before=release, actor=actor, at=now)


def refuse(tx: Connection, release: Release, *, actor: str, reason: str, now: datetime) -> Release:
    """End a release that has changed nothing yet.

    Raises:
        Refused: it already changes the environment; roll it back instead.
    """
    if release.state not in _UNTOUCHED:
        raise Refused(f"the release is {release.state.value}", hint="/rollback takes it back")
    ended = replace(release, state=ReleaseState.REFUSED, reason=reason, finished_at=now)
    return ReleaseStore(tx).save(ended, before=release, actor=actor, at=now)


def stop_rollout(
    tx: Connection, release: Release, candidate: Candidate, *, actor: str, reason: str, now: datetime
) -> Release:
    """Take back a release that is under way (`/rollback` during a canary): the earlier version gets everything.

    Raises:
        Refused: the release is not changing the environment.
    """
    if release.state not in (ReleaseState.LOADING, ReleaseState.CANARY):
        raise Refused(f"the release is {release.state.value}: there is no rollout to stop")
    facts = gather_facts(tx, release, candidate.spec, now=now)
    do = Do.ROLL_BACK if release.previous is not None else Do.FAIL
    return _apply(tx, release, candidate, Action(do=do, reason=reason), facts=facts, actor=actor)


def roll_back(tx: Connection, release: Release, *, actor: str, now: datetime, to_version: int | None = None) -> Release:
    """Start going back from what serves now (`/rollback` after a promotion), as a release of its own.

    `release` is a fresh record with id, command and reason; model, version, previous and state are filled in
    here. It is about taking `version` away again and ends as rolled_back.

    Raises:
        NotFound: nothing serves, or no earlier version has served everything.
    """
    store = DeploymentStore(tx)
    name = deployment_name(release.project, release.environment)
    kept = store.get(name)
    serving = kept.serving if kept is not None else None
    goal = kept.rollback_route(to_version) if kept is not None else None
    if kept is None or serving is None or goal is None or goal.version == serving.version:
        wanted = "an earlier version" if to_version is None else f"version {to_version}"
        raise NotFound(
            f"{name} cannot go back to {wanted}",
            cause="no such version has served everything there before" if kept else "nothing is deployed there",
            hint=f"headway endpoints show {name} lists what has served" if kept else "headway endpoints list",
        )
    started = ReleaseStore(tx).add(
        replace(
            release, model=goal.model, version=serving.version, previous=goal.version, state=ReleaseState.ROLLING_BACK
        ),
        actor=actor,
    )
    if started.id != release.id:
        return started  # the same command again
    routes = (replace(goal, weight=100), replace(serving, weight=0))
    store.save(
        replace(kept.deployment, routes=routes), repo_id=release.repo_id, at=now, actor=actor, reason=release.reason
    )
    store.serves_all(name, goal)
    return started


def live_view(tx: Connection, release: Release, spec: DeploySpec, *, now: datetime) -> Release:
    """Return the release with the numbers of its open stage as they are now, for reports."""
    return measured(release, gather_facts(tx, release, spec, now=now))

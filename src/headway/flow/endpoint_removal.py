"""Taking an endpoint away: nothing serves under its name any more, and its version may be deleted."""

from __future__ import annotations

from sqlalchemy import Connection

from headway.app import App
from headway.errors import Conflict, NotFound
from headway.registry.model import VersionState
from headway.registry.store import RegistryStore
from headway.serving.model import Route
from headway.serving.store import DeploymentStore, KeptDeployment, ReleaseStore


def remove_endpoint(app: App, name: str, *, actor: str) -> KeptDeployment:
    """Stop a deployment and forget it; its releases and its prediction log stay.

    Raises:
        NotFound: nothing is deployed under that name.
        Conflict: a release of its project is under way, which would bring it back.
    """
    with app.database.read() as tx:
        target = app.target(_free(tx, name).deployment.target)
    target.remove(name)  # before and after, so that a server that is killed between leaves no endpoint behind
    with app.database.write() as tx:
        kept = _free(tx, name)
        DeploymentStore(tx).remove(name, at=app.clock.now(), actor=actor)
        _archive(app, tx, kept, actor)
    target.remove(name)
    return kept


def _free(tx: Connection, name: str) -> KeptDeployment:
    kept = DeploymentStore(tx).get(name)
    if kept is None:
        raise NotFound(f"there is no deployment {name!r}", hint="headway endpoints list")
    for release in ReleaseStore(tx).unfinished():
        if (release.repo_id, release.project) == (kept.repo_id, kept.deployment.project):
            raise Conflict(
                f"{name} cannot be deleted while {release.model} v{release.version} is being released",
                cause=f"the release to {release.environment} is {release.state.value.replace('_', ' ')}",
                hint=f"headway approve lets it go on, headway rollback {release.environment} takes it back",
            )
    return kept


def _routes(kept: KeptDeployment) -> tuple[Route, ...]:
    """What serves there, and what it can go back to."""
    return (*kept.history, *kept.deployment.routes)


def _archive(app: App, tx: Connection, kept: KeptDeployment, actor: str) -> None:
    """What only this served serves nowhere: its alias goes, and it is not protected as released any longer."""
    registry, environment = RegistryStore(tx, app.clock), kept.deployment.environment
    elsewhere = {(route.model, route.version) for each in DeploymentStore(tx).all() for route in _routes(each)}
    for route in {(route.model, route.version): route for route in _routes(kept)}.values():
        try:
            version = registry.get_version(route.model, route.version)
        except NotFound:
            continue
        reason = f"{kept.deployment.name} was deleted"
        if environment in version.aliases:
            registry.delete_alias(route.model, environment, actor=actor, reason=reason)
        if version.state == VersionState.RELEASED and (route.model, route.version) not in elsewhere:
            registry.set_state(route.model, route.version, state=VersionState.ARCHIVED, actor=actor, reason=reason)

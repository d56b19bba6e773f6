"""The forge's record of a release through its rollout: what is deployed where, and the chain that led to it."""

from __future__ import annotations

from urllib.parse import urlsplit

from sqlalchemy import Connection

from headway.app import App
from headway.commands.model import Verb
from headway.commands.store import CommandStore
from headway.db import schema
from headway.errors import NotFound
from headway.flow.present import base_url
from headway.forges.model import WantedDeployment
from headway.registry.store import RegistryStore
from headway.serving.model import Release, ReleaseState
from headway.serving.release import deployment_name
from headway.serving.store import DeploymentStore, ReleaseStore

_STATES = {
    ReleaseState.PENDING: "queued",
    ReleaseState.STAGING: "queued",
    ReleaseState.WAITING: "queued",
    ReleaseState.LOADING: "in_progress",
    ReleaseState.CANARY: "in_progress",
    ReleaseState.PROMOTED: "success",
    ReleaseState.ROLLING_BACK: "failure",  # of the version that is taken away: it never served everything
    ReleaseState.ROLLED_BACK: "failure",
    ReleaseState.FAILED: "failure",
    ReleaseState.REFUSED: "inactive",
}
_WAY_BACK = {ReleaseState.ROLLING_BACK: "in_progress", ReleaseState.ROLLED_BACK: "success"}


def deployment_of(app: App, tx: Connection, release: Release) -> WantedDeployment | None:
    """Return what the forge should record of a release; None where its commit is not known.

    Going back after a promotion is a deployment of its own: the earlier version's commit serves again, and what it
    replaces becomes inactive.
    """
    brought = release
    command = CommandStore(tx).get(release.command_id)
    is_way_back = command.verb is Verb.ROLLBACK
    if is_way_back:
        earlier = _that_brought(tx, release)
        if earlier is None:
            return None
        brought = earlier
    if not brought.commit:
        return None
    words = f"{brought.model} v{brought.version}: {_words(release, is_way_back=is_way_back)} {release.reason}"
    return WantedDeployment(
        repo_id=release.repo_id,
        sha=brought.commit,
        environment=release.environment,
        state=(_WAY_BACK if is_way_back else {}).get(release.state) or _STATES[release.state],
        description=words.strip()[:140],
        url=_address(app, tx, release),
        log_url=f"{base_url(app)}/releases/{release.id}",
        payload=_chain(app, tx, release, brought, comment=command.comment_id or ""),
    )


def _that_brought(tx: Connection, release: Release) -> Release | None:
    """Return the release by which the version that is gone back to once came."""
    table = schema.release.c
    found = ReleaseStore(tx).find(
        table.repo_id == release.repo_id,
        table.project == release.project,
        table.environment == release.environment,
        table.state == ReleaseState.PROMOTED.value,
    )
    return next((each for each in found if each.version == release.previous), None)


def _words(release: Release, *, is_way_back: bool) -> str:
    if is_way_back:
        return "serves again" if release.state is ReleaseState.ROLLED_BACK else "is being put back"
    return release.state.value.replace("_", " ")


def _chain(app: App, tx: Connection, release: Release, brought: Release, *, comment: str) -> dict[str, str]:
    """The way from the deployment to its cause; GitHub's number of the deployment before is added where it is known."""
    chain = {
        "release": release.id,
        "model": brought.model,
        "version": str(brought.version),
        "job": brought.job_id,
        "requested_by": release.requested_by,
        "command": release.command_id,
        "comment": comment,
    }
    replaces = release.version if brought is not release else release.previous
    if replaces is not None:
        chain["replaces_version"] = str(replaces)
    try:
        version = RegistryStore(tx, app.clock).get_version(brought.model, brought.version)
    except NotFound:
        return chain
    return chain | {"run": version.run_id, "digest": version.digest}


def _address(app: App, tx: Connection, release: Release) -> str:
    """Return where the environment answers; the page of it where that is on this machine alone."""
    name = deployment_name(release.project, release.environment)
    kept = DeploymentStore(tx).get(name)
    url = kept.observed.url if kept is not None and kept.observed is not None else ""
    if url and urlsplit(url).hostname not in ("127.0.0.1", "localhost", "::1", "0.0.0.0"):  # noqa: S104  # compared
        return url
    return f"{base_url(app)}/deployments/{name}"

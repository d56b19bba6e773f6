"""Deployments, releases, and the way back from a prediction to its cause."""

from __future__ import annotations

from typing import Any

from headway.api.answers import Call
from headway.auth.visible import repos_in_sight
from headway.db import schema
from headway.errors import NotFound
from headway.flow.endpoint_removal import remove_endpoint
from headway.flow.why import trace
from headway.serving.store import DeploymentStore, ReleaseStore


def list_deployments(call: Call) -> Any:
    """Return every deployment, wanted and observed."""
    with call.app.database.read() as tx:
        return DeploymentStore(tx).find(*repos_in_sight(call.principal, schema.deployment.c.repo_id))


def show(call: Call) -> Any:
    """Return one deployment with its latest releases."""
    with call.app.database.read() as tx:
        kept = DeploymentStore(tx).get(call.path["name"])
        if kept is None:
            raise NotFound(f"there is no deployment {call.path['name']!r}", hint="headway endpoints list")
        project, environment = kept.deployment.project, kept.deployment.environment
        releases = ReleaseStore(tx).find(
            schema.release.c.repo_id == kept.repo_id,
            schema.release.c.project == project,
            schema.release.c.environment == environment,
        )
    return {"deployment": kept, "releases": releases}


def remove(call: Call) -> Any:
    """Stop a deployment and forget it; its releases and its prediction log stay."""
    return remove_endpoint(call.app, call.path["name"], actor=call.principal.user)


def logs(call: Call) -> Any:
    """Return the last lines of a deployment's log."""
    with call.app.database.read() as tx:
        kept = DeploymentStore(tx).get(call.path["name"])
    if kept is None:
        raise NotFound(f"there is no deployment {call.path['name']!r}", hint="headway endpoints list")
    target = call.app.target(kept.deployment.target)
    return {"lines": target.logs(kept.deployment.name, call.number("tail", 100))}


def releases(call: Call) -> Any:
    """Return releases, newest first."""
    where = [schema.release.c[name] == call.query[name] for name in ("project", "environment") if name in call.query]
    where += repos_in_sight(call.principal, schema.release.c.repo_id)
    if "change" in call.query:
        where.append(schema.release.c.change == call.number("change", 0, most=10**9))
    with call.app.database.read() as tx:
        return ReleaseStore(tx).find(*where)


def release(call: Call) -> Any:
    """Return one release."""
    with call.app.database.read() as tx:
        found = ReleaseStore(tx).get(call.path["release"])
    if found is None:
        raise NotFound(f"there is no release {call.path['release']}")
    return found


def why(call: Call) -> Any:
    """Return the chain behind a request id, a deployment or a model version."""
    return trace(call.app, call.path["subject"], call.principal)

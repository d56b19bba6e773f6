"""Make targets follow the wanted state and record what they show: the only writer of `observed`."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from headway.clock import Clock
from headway.db.connection import Database
from headway.errors import HeadwayError
from headway.serving.base import Target
from headway.serving.model import Observed
from headway.serving.store import DeploymentStore, KeptDeployment

_LOG = structlog.get_logger()


def reconcile(database: Database, targets: Mapping[str, Target], clock: Clock) -> list[str]:
    """Look at every deployment once; returns the names of those whose picture changed.

    Call it once a second. What is not fully in force is applied again, which also starts an endpoint
    whose process was killed.
    """
    with database.read() as tx:
        every = DeploymentStore(tx).all()
    changed = []
    for kept in every:
        seen = _look(kept, targets)
        if seen != kept.observed:
            with database.write() as tx:
                DeploymentStore(tx).observe(kept.deployment.name, seen, clock.now())
            changed.append(kept.deployment.name)
    _end_deleted(database, targets, every)
    return changed


def _end_deleted(database: Database, targets: Mapping[str, Target], every: list[KeptDeployment]) -> None:
    """End what was deleted while it was looked at: it may just have been applied once more."""
    with database.read() as tx:
        left = {each.deployment.name for each in DeploymentStore(tx).all()}
    for kept in every:
        target = targets.get(kept.deployment.target)
        if kept.deployment.name not in left and target is not None:
            target.remove(kept.deployment.name)


def _look(kept: KeptDeployment, targets: Mapping[str, Target]) -> Observed:
    wanted = kept.deployment
    target = targets.get(wanted.target)
    if target is None:
        return _problem(kept, f"this server has no target {wanted.target!r}")
    try:
        seen = target.observe(wanted.name)
        if seen is None or not seen.ready or seen.revision < wanted.revision:
            target.apply(wanted)
            seen = target.observe(wanted.name)
    except (HeadwayError, OSError) as error:
        _LOG.warning("target does not answer", deployment=wanted.name, target=wanted.target, error=str(error))
        return _problem(kept, str(error))
    return seen if seen is not None else _problem(kept, "the target knows nothing of it yet")


def _problem(kept: KeptDeployment, message: str) -> Observed:
    url = kept.observed.url if kept.observed is not None else ""
    revision = kept.observed.revision if kept.observed is not None else 0
    return Observed(ready=False, url=url, revision=revision, message=message)

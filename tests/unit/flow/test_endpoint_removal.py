"""An endpoint is deleted whole: nothing serves, nothing protects its version, and a release under way forbids it."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import update

from fakes.site import Site, filled_site
from fakes.target import FakeTarget
from headway.db import schema
from headway.errors import Conflict, NotFound, Refused
from headway.flow.endpoint_removal import remove_endpoint
from headway.registry.model import VersionState
from headway.registry.store import RegistryStore
from headway.serving.model import Observed
from headway.serving.reconcile import reconcile
from headway.serving.store import DeploymentStore, ReleaseStore

NAME = "flights-production"


def ended(site: Site) -> None:
    """Let the release that waits come to its end."""
    with site.app.database.write() as tx:
        release = ReleaseStore(tx).get(site.release)
        assert release is not None
        table = schema.release
        tx.execute(update(table).where(table.c.id == release.id).values(state="promoted"))


def test_a_deleted_endpoint_serves_no_more_and_its_version_may_go(tmp_path: Path) -> None:
    site = filled_site(tmp_path)
    app = site.app
    with app.database.write() as tx:
        registry, kept = RegistryStore(tx, app.clock), DeploymentStore(tx).get(NAME)
        assert kept is not None
        (route, *_) = kept.deployment.routes
        registry.set_state(route.model, route.version, state=VersionState.RELEASED, actor="headway")
        with pytest.raises(Refused, match="it is released"):
            registry.delete_version(route.model, route.version)
    with pytest.raises(Conflict, match="is being released"):
        remove_endpoint(app, NAME, actor="ada")
    ended(site)
    remove_endpoint(app, NAME, actor="ada")
    with app.database.write() as tx:
        assert DeploymentStore(tx).get(NAME) is None
        version = RegistryStore(tx, app.clock).get_version(route.model, route.version)
        assert version.state == VersionState.ARCHIVED
        assert "production" not in version.aliases
        RegistryStore(tx, app.clock).delete_version(route.model, route.version)
    with pytest.raises(NotFound, match="there is no deployment"):
        remove_endpoint(app, NAME, actor="ada")
    app.close()


class Late(FakeTarget):
    """Applies what somebody deletes at this moment."""

    def __init__(self, site: Site) -> None:
        super().__init__()
        self.site = site

    def observe(self, name: str) -> Observed | None:
        seen = super().observe(name)
        if seen is None and self.site.release:
            self.site.release = ""
            with self.site.app.database.write() as tx:
                DeploymentStore(tx).remove(name, at=self.site.app.clock.now(), actor="ada")
        return seen


def test_what_is_deleted_while_the_worker_looks_at_it_does_not_come_back(tmp_path: Path) -> None:
    site = filled_site(tmp_path)
    target = Late(site)
    reconcile(site.app.database, dict.fromkeys(("local", "command"), target), site.app.clock)
    assert target.world.wanted == {}
    site.app.close()

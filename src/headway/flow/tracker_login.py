"""The way to the MLflow server that a project names: its secrets, the hosts that are allowed, and an end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from headway.app import App
from headway.auth.secrets import SecretStore
from headway.errors import NotFound
from headway.projects.model import TrackingSpec
from headway.tracking.peer.connection import Login, Patience, PeerConnection
from headway.tracking.peer.guard import SECONDS, AllowedHosts, GuardedTransport

_PATIENCE = Patience(tries=1, timeout=5.0)


@contextmanager
def connected(app: App, repo_id: str, tracking: TrackingSpec, *, seconds: float = SECONDS) -> Iterator[PeerConnection]:
    """Open the way to a project's tracker, with its secrets, for one visit.

    Raises:
        NotFound: a secret that headway.yaml names was never set.
    """
    names = [name for name in (tracking.token, tracking.username, tracking.password) if name]
    try:
        with app.database.read() as tx:
            values = SecretStore(tx).values_for(repo_id, names)
    except NotFound as error:
        raise NotFound(error.message, cause="headway.yaml names it under tracking", hint=error.hint) from None
    login = Login(
        token=values.get(tracking.token, ""),
        username=values.get(tracking.username, ""),
        password=values.get(tracking.password, ""),
    )
    transport = GuardedTransport(AllowedHosts.read(app.settings.tracker_hosts), seconds=seconds)
    with PeerConnection(tracking.uri, login=login, patience=_PATIENCE, transport=transport) as connection:
        yield connection

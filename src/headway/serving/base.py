"""The one protocol of targets, which keep models answering; contract: `tests/contracts/target.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from headway.serving.model import Deployment, Observed


class Target(Protocol):
    """A place that keeps deployments running, also while the server is away.

    No method blocks for longer than a second; what takes longer is seen through `observe`.
    """

    def apply(self, deployment: Deployment) -> None:
        """Make this the wanted state; repeatable.

        A version that does not load never gets traffic and leaves the earlier routes answering.
        """
        ...

    def observe(self, name: str) -> Observed | None:
        """Return what is seen; None when nothing is known of that name."""
        ...

    def logs(self, name: str, tail: int) -> list[str]:
        """Return the last lines of the deployment's own log."""
        ...

    def remove(self, name: str) -> None:
        """Stop serving and forget; absent is fine."""
        ...

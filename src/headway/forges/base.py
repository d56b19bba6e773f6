"""The one protocol that every forge speaks; `tests/contracts/forge.py` is its contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headway.forges.model import Change, Event, EventPage, Permission, Receipt, Wanted


class Forge(Protocol):
    """A place where changes are proposed, discussed and merged.

    All methods may block on network or disk and may be called again after any failure.
    Errors: `NotFound` for an unknown repository, change or ref; `Refused` where the forge denies us;
    `Unreachable` when it does not answer.
    """

    def parse_webhook(self, headers: Mapping[str, str], body: bytes) -> Event | None:
        """Verify and parse one delivery; None for an event that means nothing to us."""
        ...

    def events_since(self, repo_id: str, cursor: str) -> EventPage:
        """Return what happened after `cursor` ("" = from now on); repeating it repeats the answer."""
        ...

    def get_change(self, repo_id: str, number: int) -> Change:
        """Return the change as it is at this moment, head commit included."""
        ...

    def get_permission(self, repo_id: str, user: str) -> Permission:
        """Return the user's standing now; an unknown user has NONE."""
        ...

    def read_file(self, repo_id: str, sha: str, path: str) -> bytes | None:
        """Return a file of one commit; None when that commit has no such file."""
        ...

    def fetch(self, repo_id: str, sha: str) -> str:
        """Make the commit readable locally and return the path of a git directory that has it.

        The commit is verified to be exactly `sha`; no ref name is ever checked out.
        """
        ...

    def deliver(self, wanted: Wanted) -> Receipt:
        """Make what is wanted stand at the forge; create or adopt, never a second one."""
        ...

"""Deliveries that our door did not take: GitHub never sends them again by itself, so they are fetched.

Comments, pushes and moves are found by looking at the repository; what leaves no trace there (a button, a merge
queue, a label, a dispatch) is only in the App's list of deliveries.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from headway.errors import HeadwayError
from headway.forges.github.payloads import number_of, to_list
from headway.forges.github.reading import Ignored, Reader
from headway.forges.github.webhook import KINDS, Hook, check_kind
from headway.logs import logger

if TYPE_CHECKING:
    from headway.clock import Clock
    from headway.forges.github.api import GitHubApi
    from headway.forges.github.tokens import Tokens
    from headway.forges.model import Event, Repo

# A delivery is listed once it has ended: one with a smaller number may appear this much later.
LATE = timedelta(seconds=60)
_FOUND_BY_LOOKING = frozenset({"push"})


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery as the list shows it."""

    id: int
    guid: str
    event: str
    delivered_at: datetime
    status_code: int = 0
    repository_id: int | None = None

    @property
    def was_taken(self) -> bool:
        """Whether our door said that it has it."""
        return 200 <= self.status_code < 300


class Missed:
    """The App's list of deliveries, read for one repository at a time."""

    def __init__(self, api: GitHubApi, tokens: Tokens, clock: Clock, *, bot: str) -> None:
        """Read as the App; what `bot` wrote is nothing to us."""
        self._api = api
        self._tokens = tokens
        self._clock = clock
        self._reader = Reader(app_id=tokens.app_id, bot=bot)
        # A look that GitHub's limit breaks off goes on where it was, however many were lost: repository -> delivery.
        self._fetched: dict[str, dict[int, Event | None]] = {}

    def newest(self) -> int:
        """Return the number of the newest delivery; 0 when there is none."""
        answer = self._api.get("/app/hook/deliveries", self._tokens.app, per_page=1)
        return max((each.id for each in to_list(answer.data, Listed, "deliveries")), default=0)

    def since(self, repo: Repo, seen: int) -> tuple[list[Event], int]:
        """Return what was sent for a repository after delivery `seen` and not taken, oldest first, and the new `seen`.

        What came within the last minute is looked at again the next time: who keeps it knows it by its id.
        """
        listed = self._after(seen)
        taken = {each.guid for each in listed if each.was_taken}  # at another attempt
        lost = [each for each in listed if self._concerns(each, repo) and each.guid not in taken]
        known = self._fetched.setdefault(repo.id, {})
        for each in sorted(lost, key=lambda each: each.id):
            if each.id not in known:
                known[each.id] = self._fetch(each)
        events = [event for number in sorted(each.id for each in lost) if (event := known[number]) is not None]
        ripe = self._clock.now() - LATE
        self._fetched[repo.id] = {each.id: known[each.id] for each in lost if each.delivered_at > ripe}
        return events, max([seen, *(each.id for each in listed if each.delivered_at <= ripe)])

    def _after(self, seen: int) -> list[Listed]:
        """Return every delivery after `seen`, however many pages GitHub lists them on, newest first."""
        found: list[Listed] = []
        for page in self._api.pages("/app/hook/deliveries", self._tokens.app):
            listed = to_list(page, Listed, "deliveries")
            found += [each for each in listed if each.id > seen]
            if not listed or listed[-1].id <= seen:
                break
        return found

    def _concerns(self, each: Listed, repo: Repo) -> bool:
        is_read = each.event in KINDS and each.event not in _FOUND_BY_LOOKING
        return is_read and each.repository_id == number_of(repo.id)

    def _fetch(self, each: Listed) -> Event | None:
        data = self._api.get(f"/app/hook/deliveries/{each.id}", self._tokens.app).data
        payload = data.get("request", {}).get("payload")
        if not isinstance(payload, dict):
            return None
        # GitHub itself says that it made this: there is no signature to prove.
        hook = Hook(event=each.event, delivery=each.guid, data=payload)
        try:
            check_kind(hook)
            event = self._reader.read(hook, self._clock.now())
        except HeadwayError as error:
            logger().warning("missed delivery cannot be read", delivery=each.guid, error=error.message)
            return None
        return None if isinstance(event, Ignored) else event

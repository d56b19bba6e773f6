"""Deliveries that our door did not take: GitHub never sends them again by itself, so they are fetched.

Comments, pushes and moves are found by looking at the repository; what leaves no trace there (a button, a merge
queue, a label, a dispatch) is only in the App's list of deliveries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from headway.errors import HeadwayError
from headway.forges.github.payloads import number_of, to_list
from headway.forges.github.webhook import Hook, read_event
from headway.logs import logger

if TYPE_CHECKING:
    from headway.forges.github.api import GitHubApi
    from headway.forges.github.tokens import Tokens
    from headway.forges.model import Event, Repo

_ONLY_THERE = frozenset(
    {"check_run", "check_suite", "merge_group", "pull_request", "repository_dispatch", "issue_comment"}
)


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery as the list shows it."""

    id: int
    guid: str
    event: str
    status_code: int = 0
    repository_id: int | None = None


class Missed:
    """The App's list of deliveries, read for one repository at a time."""

    def __init__(self, api: GitHubApi, tokens: Tokens, bot: str) -> None:
        """Read as the App."""
        self._api = api
        self._tokens = tokens
        self._bot = bot

    def newest(self) -> int:
        """Return the number of the newest delivery; 0 when there is none."""
        return max((each.id for each in self._page()), default=0)

    def since(self, repo: Repo, seen: int) -> tuple[list[Event], int]:
        """Return what was sent for a repository after delivery `seen` and not taken, oldest first, and the newest."""
        listed = self._page()
        newest = max([seen, *(each.id for each in listed)])
        lost = [each for each in listed if each.id > seen and self._is_lost(each, repo)]
        events = [event for each in sorted(lost, key=lambda each: each.id) if (event := self._fetch(each)) is not None]
        return events, newest

    def _page(self) -> list[Listed]:
        answer = self._api.get("/app/hook/deliveries", self._tokens.app, per_page=100)
        return to_list(answer.data, Listed, "deliveries")

    def _is_lost(self, each: Listed, repo: Repo) -> bool:
        was_taken = 200 <= each.status_code < 300
        return not was_taken and each.event in _ONLY_THERE and each.repository_id == number_of(repo.id)

    def _fetch(self, each: Listed) -> Event | None:
        data = self._api.get(f"/app/hook/deliveries/{each.id}", self._tokens.app).data
        payload = data.get("request", {}).get("payload")
        if not isinstance(payload, dict):
            return None
        try:
            # GitHub itself says that it made this: there is no signature to prove.
            return read_event(
                Hook(event=each.event, delivery=each.guid, data=payload), app_id=self._tokens.app_id, bot=self._bot
            )
        except HeadwayError as error:
            logger().warning("missed delivery cannot be read", delivery=each.guid, error=error.message)
            return None

"""Which installation of our App a repository belongs to, as GitHub's signed deliveries about installations say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from headway.forges.github.payloads import repo_id, to_list
from headway.forges.github.webhook import Hook, installation_of
from headway.forges.repo_store import RepoStore

if TYPE_CHECKING:
    from headway.db.connection import Database
    from headway.forges.github.tokens import Tokens

_IS_GONE = frozenset({"deleted", "suspend"})
_IS_THERE = frozenset({"created", "unsuspend", "new_permissions_accepted"})


class _Named(msgspec.Struct, frozen=True, kw_only=True):
    id: int


def note_installation(database: Database, tokens: Tokens, hook: Hook) -> None:
    """Keep what a delivery says of an installation; repositories that this server was not told of stay unknown."""
    number = installation_of(hook)
    if number is None:
        return
    tokens.forget_installation(number)
    with database.write() as tx:
        store = RepoStore(tx)
        if hook.event == "installation" and hook.action in _IS_GONE:
            store.drop_installation(number)
        added = "repositories_added" if hook.event == "installation_repositories" else "repositories"
        if hook.event == "installation_repositories" or hook.action in _IS_THERE:
            for each in _ids(hook, added):
                store.set_installation(each, number)
        gone = _ids(hook, "repositories_removed")
        if gone:
            store.drop_installation(number, *gone)


def _ids(hook: Hook, field: str) -> list[str]:
    found = hook.data.get(field)
    return [repo_id(each.id) for each in to_list(found, _Named, field)] if isinstance(found, list) else []

"""Interned keys: a number that says experiment, kind and name, so that rows and indexes stay narrow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headway.tracking.model import KeyKind

if TYPE_CHECKING:
    from headway.tracking.link import Link

_MOST = 200_000  # cached ids; beyond that start over


class Keys:
    """The ids that one writer knows. Ids never change, so other processes cannot make them wrong.

    What a transaction added is forgotten when it rolls back (`mark`, `forget`), since its ids may be given again.
    """

    def __init__(self) -> None:
        """Know nothing yet."""
        self._ids: dict[tuple[int, KeyKind], dict[str, int]] = {}
        self._fresh: list[tuple[dict[str, int], str]] = []
        self._count = 0

    def known(self, exp: int, kind: KeyKind) -> dict[str, int]:
        """Return the known ids of one kind in one experiment, by name; read it only."""
        found = self._ids.get((exp, kind))
        if found is None:
            found = self._ids[exp, kind] = {}
        return found

    def intern(self, link: Link, exp: int, *, kind: KeyKind, name: str) -> int:
        """Return the id of a name, giving it one if it has none."""
        ids = self.known(exp, kind)
        if name in ids:
            return ids[name]
        found = find_key(link, exp, kind=kind, name=name)
        if found is None:
            link.run(
                "insert into key (exp, kind, name) values (?, ?, ?) on conflict do nothing",
                (exp, int(kind), name),
            )
            found = find_key(link, exp, kind=kind, name=name)
            if found is None:  # cannot be: it is there, whoever put it there
                message = f"key {name!r} vanished"
                raise RuntimeError(message)
        ids[name] = found
        self._fresh.append((ids, name))
        return found

    def mark(self) -> int:
        """Return where the transaction stands, for `forget`."""
        return len(self._fresh)

    def forget(self, mark: int = 0) -> None:
        """Drop what was learnt since `mark`: its transaction rolled back."""
        for ids, name in self._fresh[mark:]:
            ids.pop(name, None)
        del self._fresh[mark:]

    def settle(self) -> None:
        """Keep what was learnt: its transaction is committed."""
        self._count += len(self._fresh)
        self._fresh.clear()
        if self._count > _MOST:
            self._ids.clear()
            self._count = 0


def find_key(link: Link, exp: int, *, kind: KeyKind, name: str) -> int | None:
    """Return the id of a name, or None when nothing of that name was ever logged."""
    row = link.one("select id from key where exp = ? and kind = ? and name = ?", (exp, int(kind), name))
    return None if row is None else int(row[0])

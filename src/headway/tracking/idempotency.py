"""The answer to a repeated request is the first answer: clients retry POSTs that were already applied."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from headway.errors import UsageError
from headway.ids import digest_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from headway.auth.model import Principal
    from headway.tracking.link import Link

_KEPT_MS = 7 * 24 * 3600 * 1000
_LONGEST = 200


def once(link: Link, principal: Principal, key: str, make: Callable[[], str]) -> str:
    """Return `make()`, or what it returned when the same caller came with the same key; no key, no memory."""
    if not key:
        return make()
    if len(key) > _LONGEST:
        raise UsageError(f"the header Idempotency-Key has {len(key)} characters; at most {_LONGEST} are allowed")
    # The key is the caller's own: two callers may choose the same.
    name = digest_of([principal.user, principal.run_id, key])
    row = link.one("select answer from idempotency where key = ?", (name,))
    if row is not None:
        return str(row[0])
    answer, now = make(), time.time_ns() // 1_000_000
    link.run("insert into idempotency (key, answer, at) values (?, ?, ?)", (name, answer, now))
    link.run("delete from idempotency where at < ?", (now - _KEPT_MS,))
    return answer

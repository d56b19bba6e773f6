"""A recorded delivery, read as this server would read it, with what would follow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from headway.api.answers import Call
from headway.errors import Refused, UsageError
from headway.flow.rehearse import rehearse
from headway.forges.github.payloads import repo_id
from headway.forges.github.reading import Ignored
from headway.forges.github.webhook import NAME, Hook, check_kind, repository_of


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """One delivery of GitHub's, as somebody kept it."""

    event: str
    delivery: str
    payload: dict[str, Any]


def try_event(call: Call) -> Any:
    """Return what would follow from a delivery; nothing is kept, and nobody is told."""
    recorded, forge = call.body(Recorded), call.app.github
    if forge is None:
        raise Refused("this server does not know GitHub", hint="headway init --github")
    hook = Hook(event=recorded.event, delivery=recorded.delivery, data=recorded.payload)
    check_kind(hook)
    repo = repository_of(hook)
    if repo is None or repo_id(repo.id) != call.path["repo"]:
        raise UsageError(f"the delivery is not about {call.path['repo']}", hint="name the repository of its payload")
    event = forge.reader.read(hook, call.app.clock.now())
    if isinstance(event, Ignored):
        return {"ignored": event.why}
    return rehearse(call.app, event, forge=NAME)

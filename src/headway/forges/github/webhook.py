"""One delivery of GitHub's webhooks, proved: who signed it, what kind it is by its own body, and which happening it is.

The signature covers the body alone, so everything is taken from the body: a delivery's id and event name, which come
as headers, are checked against it. Source: GitHub's documentation of webhook events, and rules 1 to 4 of its door here.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from headway.errors import LoginNeeded, UsageError
from headway.forges.github.payloads import RepoRef, to_type

NAME = "github"

_SIGNATURE = re.compile(r"sha256=[0-9a-f]{64}")
_EVENT = re.compile(r"[a-z][a-z_]{0,63}")
_DELIVERY = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,127}")
# What an event's body has at its top and no other kind's has so, first match first.
_SHAPES: tuple[tuple[str, frozenset[str]], ...] = (
    ("", frozenset({"deployment"})),  # its status may carry the check or workflow that caused it
    ("", frozenset({"review"})),
    ("", frozenset({"thread"})),
    ("check_run", frozenset({"check_run"})),
    ("check_suite", frozenset({"check_suite"})),
    ("merge_group", frozenset({"merge_group"})),
    ("repository_dispatch", frozenset({"client_payload", "branch"})),
    ("issue_comment", frozenset({"issue", "comment"})),
    ("", frozenset({"comment"})),
    ("push", frozenset({"ref", "before", "after"})),
    ("pull_request", frozenset({"pull_request", "number"})),
)
KINDS = frozenset(name for name, _ in _SHAPES if name)
# An App's webhook and a repository's own tell of the same happening; only this differs.
_OF_THE_WAY = frozenset({"installation", "organization", "enterprise"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """A delivery whose signature was right."""

    event: str
    delivery: str
    data: Mapping[str, Any]

    @property
    def action(self) -> str:
        """What happened to the event's subject; "" for events without one."""
        found = self.data.get("action")
        return found if isinstance(found, str) else ""

    @property
    def identity(self) -> str:
        """The digest of what is told: the same under another delivery id, by another webhook, or fetched later."""
        told = {name: value for name, value in self.data.items() if name not in _OF_THE_WAY}
        return hashlib.sha256(msgspec.json.encode([self.event, told], order="sorted")).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """What the headers of a delivery say, well-formed and not yet proved."""

    event: str
    delivery: str
    signature: str


def read_marks(headers: Mapping[str, str]) -> Marks | None:
    """Return what the headers say of a delivery; None when it is not GitHub's at all.

    Raises:
        LoginNeeded: nobody signed it, or not as GitHub does: no body needs to be read for that.
        UsageError: its id or event is none that GitHub gives.
    """
    event, delivery = headers.get("x-github-event", ""), headers.get("x-github-delivery", "")
    if not event or not delivery:
        return None
    signature = headers.get("x-hub-signature-256", "")
    if not _SIGNATURE.fullmatch(signature):
        raise LoginNeeded(
            "this delivery is not signed",
            cause="X-Hub-Signature-256 is missing"
            if not signature
            else "X-Hub-Signature-256 is not sha256=<64 digits>",
            hint="set the webhook's secret at GitHub",
        )
    if not _EVENT.fullmatch(event):
        raise UsageError(f"X-GitHub-Event {event[:80]!r} is no event of GitHub's")
    if not _DELIVERY.fullmatch(delivery):
        raise UsageError(f"X-GitHub-Delivery {delivery[:80]!r} is no id of a delivery")
    return Marks(event=event, delivery=delivery, signature=signature)


def open_delivery(headers: Mapping[str, str], body: bytes, secrets: tuple[str, ...]) -> Hook | None:
    """Return a delivery that one of the secrets signed; None when it is not GitHub's at all.

    Raises:
        LoginNeeded: no signature, or one of another secret.
        UsageError: signed, and yet no JSON object, or one of another event than its header says.
    """
    marks = read_marks({name.lower(): value for name, value in headers.items()})
    if marks is None:
        return None
    if not _is_signed(marks.signature, body, secrets):
        raise LoginNeeded(
            "the signature of this delivery is not right",
            cause="the webhook's secret at GitHub is another one, or somebody else sent it",
            hint="headway doctor --live OWNER/REPO compares them",
        )
    hook = Hook(event=marks.event, delivery=marks.delivery, data=read_payload(body))
    check_kind(hook)
    return hook


def read_payload(body: bytes) -> dict[str, Any]:
    """Return a delivery's body as data.

    Raises:
        UsageError: it is no JSON object.
    """
    try:
        data = msgspec.json.decode(body)
    except (ValueError, RecursionError):  # msgspec's own errors are ValueErrors
        raise UsageError("the delivery is no JSON", hint="set the webhook's content type to application/json") from None
    if not isinstance(data, dict):
        raise UsageError("the delivery is no JSON object")
    return data


def check_kind(hook: Hook) -> None:
    """Return when a body is of the event that its header says.

    Raises:
        UsageError: it is another's: the header is not signed, so a signed body may come under any name.
    """
    kind = kind_of(hook.data)
    if kind != hook.event and (kind in KINDS or hook.event in KINDS):
        raise UsageError(
            f"X-GitHub-Event says {hook.event}, and the body is {f'of {kind}' if kind else 'of something else'}",
            cause="the header is not part of what is signed",
        )


def kind_of(data: Mapping[str, Any]) -> str:
    """Return the event that a body is of, by its shape; "" for those that mean nothing to us."""
    return next((name for name, fields in _SHAPES if fields <= data.keys()), "")


def sign(body: bytes, secret: str) -> str:
    """Return the signature header for a body: what GitHub sends, and what tests and rehearsals need."""
    return f"sha256={hmac.new(secret.encode(), body, 'sha256').hexdigest()}"


def _is_signed(signature: str, body: bytes, secrets: tuple[str, ...]) -> bool:
    given = signature.encode()
    # Every secret is tried, whichever fits: the time says nothing of its place among them.
    fits = [hmac.compare_digest(sign(body, secret).encode(), given) for secret in secrets if secret]
    return any(fits)


def repository_of(hook: Hook) -> RepoRef | None:
    """Return the repository that a delivery is about; None for those about installations."""
    found = hook.data.get("repository")
    return to_type(found, RepoRef, "repository") if isinstance(found, dict) else None


def installation_of(hook: Hook) -> int | None:
    """Return the number of the installation through which a delivery came; None for a repository's own webhook."""
    found = hook.data.get("installation")
    number = found.get("id") if isinstance(found, dict) else None
    return number if isinstance(number, int) else None

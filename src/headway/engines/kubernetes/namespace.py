"""The Jobs and pods of this server in one namespace, as last seen, and the events that explain them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from headway.engines.kubernetes.documents import ATTEMPT_LABEL
from headway.kube_cache import Watched

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headway.kube import Kube

Document = dict[str, Any]
_EVENTS_EVERY = 5.0
_EVENTS_A_SECOND = 2.0  # attempts whose events are asked for: a full quota must not fill the line with questions
_EVENTS_KEPT = 600.0


class Namespace:
    """What one namespace shows; reading it never waits for the cluster."""

    def __init__(self, kube: Kube, name: str, *, labels: str, seconds: int) -> None:
        """Begin to watch at once."""
        self.name = name
        self._kube = kube
        self._labels = labels
        self._jobs = Watched(kube, "Job", namespace=name, labels=labels, seconds=seconds)
        self._pods = Watched(kube, "Pod", namespace=name, labels=labels, seconds=seconds)
        self._events: dict[str, tuple[float, tuple[Document, ...]]] = {}
        self._jobs.start()
        self._pods.start()

    def stop(self) -> None:
        """Stop watching."""
        self._jobs.stop()
        self._pods.stop()

    @property
    def is_known(self) -> bool:
        """Whether both were listed once, so that an absence says something."""
        return self._jobs.is_listed and self._pods.is_listed

    @property
    def trouble(self) -> str:
        """Why the cluster is not heard at present."""
        return self._jobs.trouble or self._pods.trouble

    @property
    def silent_seconds(self) -> float:
        """How long nothing was heard of one of them."""
        return max(self._jobs.silent_seconds, self._pods.silent_seconds)

    def job(self, name: str) -> Document | None:
        """Return a Job as last seen."""
        return self._jobs.get(name)

    def note_job(self, document: Document) -> None:
        """Take a Job that was just made."""
        self._jobs.note(document)

    def pods(self, attempt: str) -> list[Document]:
        """Return the pods of one attempt as last seen."""
        return [each for each in self._pods.all() if _labels(each).get(ATTEMPT_LABEL) == attempt]

    def ask(self, name: str, attempt: str) -> tuple[Document | None, list[Document]]:
        """Ask the cluster itself for a Job and the pods of its attempt: a watch may lag, an absence must be true."""
        pods = self._kube.list("Pod", namespace=self.name, labels=f"{self._labels},{ATTEMPT_LABEL}={attempt}").items
        return self._kube.get("Job", name, namespace=self.name), list(pods)

    def events(self, names: list[str]) -> tuple[Document, ...]:
        """Ask for the events of these objects, the more rarely the more attempts want theirs; this call does wait."""
        key, now = " ".join(names), time.monotonic()
        self._events = {each: known for each, known in self._events.items() if now - known[0] < _EVENTS_KEPT}
        asked_at, found = self._events.get(key, (0.0, ()))
        if not asked_at or now - asked_at > max(_EVENTS_EVERY, len(self._events) / _EVENTS_A_SECOND):
            found = tuple(
                event
                for name in names
                for event in self._kube.list("Event", namespace=self.name, fields=f"involvedObject.name={name}").items
            )
            self._events[key] = (time.monotonic(), found)
        return found


def _labels(document: Document) -> Mapping[str, str]:
    found = document["metadata"].get("labels")
    return found if isinstance(found, dict) else {}

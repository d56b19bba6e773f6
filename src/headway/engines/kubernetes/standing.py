"""Which environments are known to stand in the cluster's cache: a step that needs one of them makes nothing."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from headway.engines.kubernetes.options import Cache

_TRUSTED_SECONDS = 12 * 3600.0  # then a pod looks again, which also tells the cache that it is wanted still


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One environment as the pods of one namespace and tier find it."""

    namespace: str
    tier: int
    digest: str


class Standing:
    """Kept in memory: a server that begins anew lets a pod look once more, and so does one that was wrong."""

    def __init__(self, cache: Cache) -> None:
        """Without a cache nothing outlives its pod."""
        self._cache = cache
        self._seen: dict[Place, tuple[float, set[str]]] = {}
        self._nodes: set[str] = set()
        self._lock = threading.Lock()

    def note(self, place: Place, node: str) -> None:
        """Take from a pod that ran its code that the environment was there."""
        with self._lock:
            self._nodes.add(node)
            _, nodes = self._seen.get(place, (0.0, set()))
            self._seen[place] = (time.monotonic(), nodes | {node})

    def forget(self, place: Place) -> None:
        """Let the next pod look, and make it where it is not."""
        with self._lock:
            self._seen.pop(place, None)

    def has(self, place: Place) -> bool:
        """Whether a pod may count on it, whichever node it comes to."""
        with self._lock:
            at, nodes = self._seen.get(place, (0.0, set()))
            if not nodes or time.monotonic() - at > _TRUSTED_SECONDS:
                return False
            # A folder of the nodes is another one on each; a claim is the same everywhere.
            return bool(self._cache.claim) or (bool(self._cache.host_path) and self._nodes <= nodes)

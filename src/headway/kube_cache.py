"""What is in one namespace, kept up to date by one list and a watch: readers never wait for the cluster."""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING

from headway.errors import HeadwayError
from headway.kube_errors import WatchGap
from headway.logs import logger

if TYPE_CHECKING:
    from headway.kube import Document, Kube

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0
_NOTED_SECONDS = 10.0
_SHORT = 0.5  # a watch that ends sooner was not ended by its own time


class Watched:
    """The objects of one kind with certain labels in one namespace, as last seen."""

    def __init__(self, kube: Kube, kind: str, *, namespace: str, labels: str, seconds: int = 20) -> None:
        """Nothing is asked before `start`."""
        self._kube, self._kind, self._namespace, self._labels = kube, kind, namespace, labels
        self._seconds = seconds
        self._items: dict[str, Document] = {}
        self._noted: dict[str, tuple[float, Document]] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._listed = False
        self._heard_at = 0.0
        self._trouble = ""
        self._pause = _FIRST_PAUSE
        self.changed = threading.Event()  # set at every change; a reader may clear it

    def start(self) -> None:
        """Begin to watch, in a thread of its own."""
        name = f"watch {self._kind} {self._namespace}"
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def stop(self) -> None:
        """Ask the thread to end; it does with its present watch."""
        self._stop.set()

    @property
    def is_listed(self) -> bool:
        """Whether everything that was there was seen once: only then does an absence say something."""
        return self._listed

    @property
    def trouble(self) -> str:
        """Why the cluster is not heard at present; "" when it is."""
        return self._trouble

    @property
    def silent_seconds(self) -> float:
        """How long nothing was heard of the cluster."""
        return time.monotonic() - self._heard_at if self._heard_at else float("inf")

    def get(self, name: str) -> Document | None:
        """Return an object as last seen."""
        with self._lock:
            found = self._items.get(name)
            noted_at, noted = self._noted.get(name, (0.0, None))
        return noted if found is None and time.monotonic() - noted_at < _NOTED_SECONDS else found

    def all(self) -> list[Document]:
        """Return every object as last seen."""
        with self._lock:
            return list(self._items.values())

    def note(self, document: Document) -> None:
        """Take what another call has just seen; the watch must confirm it soon, for it may be gone again by now."""
        with self._lock:
            now = time.monotonic()
            self._noted = {name: each for name, each in self._noted.items() if now - each[0] < _NOTED_SECONDS}
            self._noted[document["metadata"]["name"]] = (now, document)

    def _run(self) -> None:
        version = ""
        while not self._stop.is_set():
            version = self._turn(version)

    def _turn(self, version: str) -> str:
        """List where nothing is known, then watch; return the version to go on from, "" to list again."""
        began = time.monotonic()
        try:
            version = version or self._list()
            began = time.monotonic()
            version = self._follow(version)
        except WatchGap:
            version = ""  # what was missed is found by listing
        except HeadwayError as error:
            self._trouble = error.message
            logger().warning("cluster is not heard", kind=self._kind, namespace=self._namespace, error=error.message)
            self.changed.set()
            self._rest()
            # After a silence list again: an API server that was put back from a backup knows other versions.
            return ""
        except Exception:  # noqa: BLE001  # a thread that dies would leave everybody with old news
            logger().exception("watch failed and begins again", kind=self._kind, namespace=self._namespace)
            self._rest()
            return ""
        if time.monotonic() - began > _SHORT:
            self._pause = _FIRST_PAUSE
        else:
            self._rest()  # a gap at once, or something between that ends every watch
        return version

    def _rest(self) -> None:
        """Wait, the next time for longer: no trouble of the cluster becomes a storm of requests."""
        self._stop.wait(self._pause * (0.5 + random.random()))  # noqa: S311  # jitter, no secret
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)

    def _list(self) -> str:
        found = self._kube.list(self._kind, namespace=self._namespace, labels=self._labels)
        with self._lock:
            self._items = {each["metadata"]["name"]: each for each in found.items}
            self._listed = True
        self._heard()
        return found.version

    def _follow(self, version: str) -> str:
        changes = self._kube.watch(
            self._kind, namespace=self._namespace, labels=self._labels, version=version, seconds=self._seconds
        )
        for change in changes:
            metadata = change.document.get("metadata") or {}
            version = str(metadata.get("resourceVersion") or version)
            if change.type != "BOOKMARK":
                with self._lock:
                    self._noted.pop(metadata["name"], None)
                    if change.type == "DELETED":
                        self._items.pop(metadata["name"], None)
                    else:
                        self._items[metadata["name"]] = change.document
            self._heard()
            if self._stop.is_set():
                break
        self._heard()
        return version

    def _heard(self) -> None:
        self._heard_at = time.monotonic()
        self._trouble = ""
        self.changed.set()

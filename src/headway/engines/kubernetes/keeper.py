"""The thread that brings the cluster and the attempts' folders together; whatever waits for the cluster is here."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headway.engines.base import Exited, Isolation, Lost
from headway.engines.delivered import ORDERED
from headway.engines.kubernetes.documents import (
    ATTEMPT_LABEL,
    ENVIRONMENT,
    SERVER_LABEL,
    SOURCE,
    STEP,
    job_name,
    selector,
)
from headway.engines.kubernetes.ends import NOT_STARTED
from headway.engines.kubernetes.folder import AttemptFolder, Created
from headway.engines.kubernetes.judge import Facts, Waits, judge
from headway.engines.kubernetes.namespace import Namespace
from headway.engines.kubernetes.options import KubernetesOptions
from headway.errors import HeadwayError, Unreachable, UsageError
from headway.logs import logger

if TYPE_CHECKING:
    from headway.kube import Kube

_FIRST_PAUSE = 2.0
_LONGEST_PAUSE = 120.0
_LONGEST_AWAY = 20.0
_STOP_AGAIN = 30.0
_SCAN_EVERY = 30.0
_SILENT = 45.0
_IDLE_WATCH = 120.0
_LOG_LIMIT = 4 << 20


@dataclass(slots=True)
class _Care:
    """What this process remembers of one attempt; nothing of it is needed after a restart."""

    folder: AttemptFolder
    why: str = ""
    next_try: float = 0.0
    pause: float = _FIRST_PAUSE
    refused_since: float = 0.0
    is_stopping: bool = False
    stop_asked: float = 0.0
    ended_at: float = 0.0
    names: list[str] = field(default_factory=list)


class Keeper:
    """Creates, watches, stops and takes away the Jobs of one server's attempts."""

    def __init__(self, root: Path, options: KubernetesOptions, connect: Callable[[], Kube], *, server: str) -> None:
        """`connect` is called in the thread, when there is the first thing to do."""
        self._root = root
        self._options = options
        self._connect = connect
        self._server = server
        self._kube: Kube | None = None
        self._cared: dict[str, _Care] = {}
        self._namespaces: dict[str, tuple[Namespace, float]] = {}
        self._wake = threading.Event()
        self._ends = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._next_scan = 0.0
        self._away: Unreachable | None = None  # why nobody need ask the cluster before `_away_until`
        self._away_until = 0.0
        self._away_pause = _FIRST_PAUSE

    def wake(self) -> None:
        """Look now; the thread is started when it does not run."""
        with self._lock:
            if self._thread is None and not self._ends.is_set():
                self._thread = threading.Thread(target=self._run, name="kubernetes", daemon=True)
                self._thread.start()
        self._wake.set()

    def take(self, handle: str) -> None:
        """Care for an attempt from now on."""
        with self._lock:
            if handle in self._cared:
                return
            self._cared[handle] = _Care(AttemptFolder(self._root / handle))
        self.wake()

    def why(self, handle: str) -> str:
        """Return what an attempt waits for, as last seen."""
        with self._lock:
            care = self._cared.get(handle)
        return "" if care is None else care.why

    def close(self) -> None:
        """Stop the threads; what runs in the cluster goes on."""
        self._ends.set()
        self._wake.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=5)
        for namespace, _ in self._namespaces.values():
            namespace.stop()

    # --- the loop -------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._ends.is_set():
            try:
                self._round()
            except Exception:  # noqa: BLE001  # a thread that dies would leave every attempt without care
                logger().exception("kubernetes keeper failed and goes on")
                self._ends.wait(1.0)
            self._wake.wait(self._options.poll_seconds)
            self._wake.clear()

    def _round(self) -> None:
        now = time.monotonic()
        if now >= self._next_scan:
            self._scan()
            self._next_scan = now + _SCAN_EVERY
        with self._lock:
            cared = list(self._cared.values())
        for care in cared:
            if self._ends.is_set():
                return
            if care.folder.is_stopped and not care.is_stopping:
                care.is_stopping, care.next_try, care.pause = True, 0.0, _FIRST_PAUSE
            if now >= care.next_try:
                self._care(care)
        self._rest(now)

    def _scan(self) -> None:
        """Find what an earlier process ordered, and forget what was removed."""
        for found in self._root.glob(f"*/{ORDERED}"):
            folder = AttemptFolder(found.parent)
            if not folder.is_tidied:
                with self._lock:
                    self._cared.setdefault(folder.handle, _Care(folder))
        with self._lock:
            gone = [name for name, care in self._cared.items() if not care.folder.is_ordered]
            for name in gone:
                del self._cared[name]

    def _care(self, care: _Care) -> None:
        try:
            if not care.folder.is_ordered:
                return
            if care.folder.has_ended:
                self._tidy(care)
            elif care.folder.is_stopped:
                self._stop(care)
            else:
                self._start_or_judge(care)
        except Unreachable as error:
            care.why = f"{error.message}; what was last seen is shown"
            self._no_answer(error)
            care.next_try = self._away_until
        except HeadwayError as error:
            self._refused(care, error)
        except FileNotFoundError:
            return  # the folder was removed meanwhile
        except Exception:  # noqa: BLE001  # one attempt that cannot be cared for must not hold up all others
            logger().exception("attempt in the cluster cannot be cared for", attempt=care.folder.handle)
            self._later(care)

    def _no_answer(self, error: Unreachable) -> None:
        """Let nobody ask for a while that grows: one attempt finds out for all whether the cluster is back."""
        if self._away is None:
            self._away = error
            self._away_until = time.monotonic() + self._away_pause * (0.75 + random.random() / 2)  # noqa: S311  # jitter
            self._away_pause = min(self._away_pause * 2, _LONGEST_AWAY)

    def _later(self, care: _Care) -> None:
        """Try again after a pause that grows: a cluster in trouble gets fewer requests, not more."""
        care.next_try = time.monotonic() + care.pause * (0.75 + random.random() / 2)  # noqa: S311  # jitter, no secret
        care.pause = min(care.pause * 2, _LONGEST_PAUSE)

    def _refused(self, care: _Care, error: HeadwayError) -> None:
        now = time.time()
        detail = "; ".join(part for part in (error.cause, error.hint) if part)
        care.why = "; ".join(part for part in (error.message, detail) if part)
        care.refused_since = care.refused_since or now
        is_over = isinstance(error, UsageError) or now - care.refused_since > self._options.create_seconds
        if is_over and not care.folder.has_ended:
            care.folder.conclude(_failed(f"the cluster does not run it: {error.message}", detail))
            return
        self._later(care)

    # --- one attempt ----------------------------------------------------------------------------

    def _start_or_judge(self, care: _Care) -> None:
        folder = care.folder
        created = folder.created()
        if created is None:
            self._create(care)
            return
        namespace = self._namespace(folder.ordered().namespace)
        if not namespace.is_known:
            care.why = namespace.trouble and f"{namespace.trouble}; it is asked again"
            return
        self._judge(care, namespace, created)

    def _create(self, care: _Care) -> None:
        """Create the order and the Job; what is there already is adopted."""
        folder = care.folder
        ordered = folder.ordered()
        if not ordered.secret:
            folder.conclude(Lost(why="it was given up while the server could not reach its cluster"))
            return
        kube = self._cluster()
        namespace = self._namespace(ordered.namespace)  # before the Job: its first events are seen
        secret, is_new = kube.create(ordered.secret)
        asked_at = time.time()  # before: its deadline runs from its beginning, and an answer may take seconds
        job, _ = kube.create(ordered.job)
        _check_ours(secret, ordered.secret)
        _check_ours(job, ordered.job)
        if is_new or not secret["metadata"].get("ownerReferences"):
            kube.patch("Secret", job["metadata"]["name"], _owned_by(job), namespace=ordered.namespace)
        self._answered()
        namespace.note_job(job)
        folder.note_created(Created(uid=str(job["metadata"].get("uid", "")), created_at=asked_at))
        care.why, care.pause, care.next_try, care.refused_since = "", _FIRST_PAUSE, 0.0, 0.0

    def _judge(self, care: _Care, namespace: Namespace, created: Created) -> None:
        folder, name = care.folder, job_name(care.folder.handle)
        if care.names:
            self._cluster()
        facts = Facts(
            job=namespace.job(name),
            pods=namespace.pods(folder.handle),
            events=namespace.events(care.names) if care.names else (),
            begun=folder.begun(),
            is_stopped=folder.is_stopped,
            created_at=created.created_at,
            heard_at=folder.heard_at(),
        )
        found = judge(facts, time.time(), self._options)
        if not isinstance(found, Waits):
            # A watch may lag behind by as long as an outage and its pause: only what is so now ends an attempt.
            self._cluster()
            job, pods = namespace.ask(name, folder.handle)
            self._answered()
            facts = replace(facts, job=job, pods=pods, begun=folder.begun(), heard_at=folder.heard_at())
            found = judge(facts, time.time(), self._options)
        if isinstance(found, Waits):
            names = [name, *(str(pod["metadata"]["name"]) for pod in facts.pods)]
            care.names = names if found.asks_events else []
            care.why = found.why or self._silence(namespace)
            return
        if not folder.has_log():
            self._bring_log(care, namespace)
        folder.conclude(found, unless_begun=facts.begun is None)  # begun this very moment, it is judged anew
        care.why = ""

    def _silence(self, namespace: Namespace) -> str:
        if namespace.silent_seconds < _SILENT and not namespace.trouble:
            return ""
        return f"{namespace.trouble or 'the cluster says nothing at present'}; what was last seen is shown"

    def _bring_log(self, care: _Care, namespace: Namespace) -> None:
        """Nothing was brought by the pod itself: the cluster may still have what it printed."""
        for pod in namespace.pods(care.folder.handle)[-1:]:
            parts = []
            for container in (SOURCE, ENVIRONMENT, STEP):
                try:
                    parts.append(
                        self._cluster().log(
                            str(pod["metadata"]["name"]),
                            namespace=namespace.name,
                            container=container,
                            limit=_LOG_LIMIT,
                        )
                    )
                except HeadwayError as error:
                    logger().info("a pod's log is not to be had", attempt=care.folder.handle, error=error.message)
            if any(parts) and not care.folder.has_log():
                care.folder.write_log(b"".join(parts))

    def _stop(self, care: _Care) -> None:
        """Delete the Job, its pod first; the pod gets SIGTERM and brings its last word."""
        folder = care.folder
        name, where = job_name(folder.handle), folder.ordered().namespace
        now = time.monotonic()
        if not care.stop_asked or now - care.stop_asked > _STOP_AGAIN:
            was_there = self._cluster().delete("Job", name, namespace=where)
            self._answered()
            care.stop_asked = now
            if not was_there and folder.created() is None:
                # Never made, or made by a request whose answer was lost and then found by nobody.
                self._cluster().delete("Secret", name, namespace=where)
                folder.conclude(_cancelled())
                return
        created = folder.created()
        namespace = self._namespace(where)
        if created is None:
            if namespace.is_known and namespace.job(name) is None and not namespace.pods(folder.handle):
                folder.conclude(_cancelled())
        elif namespace.is_known:
            self._judge(care, namespace, created)

    def _tidy(self, care: _Care) -> None:
        """Take away the Job of an attempt that has ended; its folder on the node goes with it."""
        now = time.monotonic()
        care.why = ""
        care.ended_at = care.ended_at or now
        if not care.folder.is_stopped and now - care.ended_at < self._options.keep_ended_seconds:
            return
        name, where = job_name(care.folder.handle), care.folder.ordered().namespace
        self._cluster().delete("Job", name, namespace=where, policy="Background")
        if care.folder.created() is None:
            # The Job was refused, or nobody heard that it was made: the order may be there, and nobody's.
            self._cluster().delete("Secret", name, namespace=where)
        self._answered()
        care.folder.note_tidied()
        with self._lock:
            self._cared.pop(care.folder.handle, None)

    # --- the cluster ----------------------------------------------------------------------------

    def _cluster(self) -> Kube:
        """Return the cluster to ask something of.

        Raises:
            Unreachable: it did not answer a moment ago, and is left alone.
        """
        if self._away is not None:
            if time.monotonic() < self._away_until:
                raise self._away
            self._away = None
        if self._kube is None:
            self._kube = self._connect()
        return self._kube

    def _answered(self) -> None:
        self._away_pause = _FIRST_PAUSE

    def _namespace(self, name: str) -> Namespace:
        known = self._namespaces.get(name)
        if known is None:
            labels = selector(self._server)
            namespace = Namespace(self._cluster(), name, labels=labels, seconds=self._options.watch_seconds)
        else:
            namespace = known[0]
        self._namespaces[name] = (namespace, time.monotonic())
        return namespace

    def _rest(self, now: float) -> None:
        """Stop watching a namespace in which nothing is going on."""
        for name, (namespace, used_at) in list(self._namespaces.items()):
            if now - used_at > _IDLE_WATCH:
                namespace.stop()
                del self._namespaces[name]


def _check_ours(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Adopt nothing that somebody else has made under our name.

    Raises:
        UsageError: the labels are not those that we give.
    """
    metadata = wanted["metadata"]
    labels = found["metadata"].get("labels") or {}
    if any(labels.get(name) != metadata["labels"][name] for name in (ATTEMPT_LABEL, SERVER_LABEL)):
        raise UsageError(
            f"somebody else made the {wanted['kind']} {metadata['name']} in the namespace {metadata['namespace']}",
            cause="it does not have this server's labels",
            hint="delete it there, and start the job again",
        )


def _owned_by(job: dict[str, Any]) -> dict[str, Any]:
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": job["metadata"]["name"], "uid": job["metadata"]["uid"]}
    return {"metadata": {"ownerReferences": [owner]}}


def _cancelled() -> Exited:
    now = time.time()
    return Exited(exit_code=143, reason="cancelled", isolation=Isolation.L3, started_at=now, finished_at=now)


def _failed(reason: str, detail: str) -> Exited:
    now = time.time()
    return Exited(
        exit_code=NOT_STARTED, reason=reason, detail=detail, isolation=Isolation.L3, started_at=now, finished_at=now
    )

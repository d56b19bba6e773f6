"""The thread that brings wished-for deployments to the cluster and looks at what became of them: level-triggered.

It keeps `cluster.json` (what was applied where) and `seen.json` (what the cluster last showed) in each deployment's
folder. A cluster that refuses or is away is asked again, ever more rarely; nothing is lost meanwhile.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from headway.errors import Conflict, HeadwayError, NotFound, UsageError
from headway.ids import new_id
from headway.kube_errors import refusal
from headway.logs import logger
from headway.serving.durable import read_record, write_file
from headway.serving.kubernetes.objects import (
    NAME_LABEL,
    SELECTOR,
    SERVER_MARK,
    budget,
    digest,
    replicas,
    service,
    slug,
    token_secret,
    workload,
)
from headway.serving.kubernetes.picture import ClusterSeen, PodSeen
from headway.serving.kubernetes.pods import PodFolder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from headway.kube import Kube
    from headway.serving.kubernetes.options import PodSettings
    from headway.serving.model import Deployment

_BUSY = 1.0
_CALM = 3.0
_IDLE = 30.0  # without a deployment
_FIRST_PAUSE = 2.0
_LONGEST_PAUSE = 60.0
_KINDS = ("Deployment", "Service", "Secret", "PodDisruptionBudget")
_AGAIN = 300.0  # what we do not look at is brought again after so long: somebody may have taken it away
_LONGEST_SAID = 500
_PRUNE_EVERY = 3600.0
_STARTING = frozenset({"ContainerCreating", "PodInitializing", ""})


class Tokens(Protocol):
    """Who makes the tokens of pods and ends them."""

    def mint(self, name: str) -> str:
        """Return a fresh token of a deployment's pods; earlier ones end."""
        ...

    def revoke(self, name: str) -> None:
        """End every token of a deployment's pods; none is fine."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What stands in the cluster because of us; cluster.json."""

    namespace: str = ""
    has_token: bool = False
    applied: str = ""  # digest of the objects as they were applied last
    address: str = ""


@dataclass(slots=True)
class _Trouble:
    text: str = ""
    next_at: float = 0.0
    pause: float = _FIRST_PAUSE


class Keeper:
    """Started at the first need; `wake` makes it look at once."""

    def __init__(self, root: Path, settings: PodSettings, *, connect: Callable[[], Kube], tokens: Tokens) -> None:
        """Take what it needs; no thread runs yet."""
        self._root = root
        self.settings = settings
        self._connect = connect
        self._tokens = tokens
        self._kube: Kube | None = None
        self._seen: dict[str, ClusterSeen] = {}
        self._troubles: defaultdict[str, _Trouble] = defaultdict(_Trouble)
        self._brought_at: dict[str, float] = {}
        self._pruned_at = 0.0
        self._wakes = threading.Event()
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Have the thread run."""
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="kubernetes target", daemon=True)
                self._thread.start()

    def wake(self) -> None:
        """Have it look now."""
        self._wakes.set()
        self.start()

    def close(self) -> None:
        """End the thread."""
        self._closed.set()
        self._wakes.set()

    def namespace_of(self, wanted: Deployment) -> str:
        """Return where a deployment goes.

        Raises:
            UsageError: it asks for a namespace that the operator does not allow.
        """
        allowed = self.settings.namespaces
        chosen = wanted.spec.namespace or allowed[0]
        if chosen in allowed:
            return chosen
        raise UsageError(
            f"{wanted.name} may not go to the namespace {chosen!r}",
            cause=f"this server may use: {', '.join(allowed)}",
            hint="change deploy.namespace in headway.yaml on the base branch, or HEADWAY_KUBERNETES_NAMESPACES",
        )

    def seen(self, place: PodFolder) -> ClusterSeen:
        """Return what the cluster last showed; from the folder where this process has not looked itself."""
        found = self._seen.get(place.name)
        if found is None:
            found = read_record(place.folder / "seen.json", ClusterSeen) or ClusterSeen()
        return found

    # --- the thread -----------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._closed.is_set():
            self._wakes.clear()
            pause = _CALM
            try:
                pause = self.look()
            except Exception:  # noqa: BLE001  # a thread that dies would leave every deployment alone
                logger().exception("the kubernetes target stumbled and goes on")
            self._wakes.wait(pause)

    def look(self) -> float:
        """Bring and look once; return after how many seconds to look again."""
        places = [PodFolder(self._root, path.name) for path in sorted(self._root.glob("*")) if path.is_dir()]
        wanted = {place.name: place.wanted for place in places}
        ours = [place for place in places if _is_ours(place, wanted[place.name])]
        if not ours:
            return _IDLE
        for place in ours:
            if not self._try(place.name, lambda place=place: self._bring(place, wanted[place.name])):  # type: ignore[misc]  # bound now
                self._note_away([place], self._troubles[place.name].text)
        namespaces = {kept.namespace for place in ours if (kept := _kept(place)).namespace}
        for namespace in sorted(namespaces):
            here = [place for place in ours if _kept(place).namespace == namespace and wanted[place.name]]
            if not self._try(f"/{namespace}", lambda here=here, namespace=namespace: self._watch(namespace, here)):  # type: ignore[misc]  # bound now
                self._note_away(here, self._troubles[f"/{namespace}"].text)
        self._prune(ours)
        return _CALM if all(self._is_calm(place, wanted[place.name]) for place in ours) else _BUSY

    def _try(self, what: str, act: Callable[[], None]) -> bool:
        """Do it unless it failed a moment ago; a failure is noted, and the next try put off."""
        trouble = self._troubles[what]
        if time.monotonic() < trouble.next_at:
            return False
        try:
            act()
        except HeadwayError as error:
            trouble.text = ": ".join(part for part in (error.message, error.cause) if part)
            trouble.text += f" ({error.hint})" if error.hint else ""
            trouble.next_at = time.monotonic() + trouble.pause
            trouble.pause = min(trouble.pause * 2, _LONGEST_PAUSE)
            logger().warning("the cluster does not take or show it", what=what, error=trouble.text)
            return False
        except Exception as error:  # noqa: BLE001  # one deployment that cannot be brought must not hold up all others
            logger().exception("a deployment in the cluster cannot be cared for", what=what)
            trouble.text = f"the server stumbled over it: {type(error).__name__}; its log says more"
            trouble.next_at = time.monotonic() + _LONGEST_PAUSE
            return False
        self._troubles.pop(what, None)
        return True

    def cluster(self) -> Kube:
        """Return the cluster, opened at the first need."""
        if self._kube is None:
            self._kube = self._connect()
        return self._kube

    def _bring(self, place: PodFolder, wanted: Deployment | None) -> None:
        kept = _kept(place)
        namespace = self.namespace_of(wanted) if wanted is not None else ""
        if kept.namespace and kept.namespace != namespace:
            self._remove(place, kept.namespace)
            kept = Kept()
        if wanted is None:
            return
        objects = (
            service(wanted.name, namespace, self.settings.service_port),
            workload(wanted, namespace, self.settings, server=self._server()),
        )
        mark, brought_at = digest(objects), self._brought_at.get(place.name)
        if kept.applied == mark and brought_at is not None and time.monotonic() - brought_at < _AGAIN:
            return
        if not kept.applied:
            self._check_owner(wanted.name, namespace)
        cluster, token = self.cluster(), f"{slug(wanted.name)}-token"
        if not kept.has_token or cluster.patch("Secret", token, {}, namespace=namespace) is None:
            kept = self._bring_token(place, kept, namespace)
        made = cluster.apply(objects[0])
        kept = _keep(place, replace(kept, address=_address(made, self.settings.service_port)))
        if kept.applied != mark:  # otherwise it is looked at, and stays as somebody has scaled it
            cluster.apply(objects[1])
            _keep(place, replace(kept, applied=mark))
        with contextlib.suppress(NotFound):  # Kubernetes before 1.21 knows no such object
            cluster.apply(budget(wanted.name, namespace))
        self._brought_at[place.name] = time.monotonic()

    def _bring_token(self, place: PodFolder, kept: Kept, namespace: str) -> Kept:
        kept = _keep(place, replace(kept, namespace=namespace))  # first: what is made must be found again
        self.cluster().apply(token_secret(place.name, namespace, self._tokens.mint(place.name)))
        return _keep(place, replace(kept, has_token=True))

    def _check_owner(self, name: str, namespace: str) -> None:
        """Leave alone what another server, or somebody by hand, has made here under the same name.

        Raises:
            Conflict: it is there; two servers would end each other's tokens for ever.
        """
        for found in self.cluster().list("Deployment", namespace=namespace, fields=f"metadata.name={slug(name)}").items:
            metadata = found["metadata"]
            is_endpoint = (metadata.get("labels") or {}).get(NAME_LABEL) == slug(name)
            if is_endpoint and (metadata.get("annotations") or {}).get(SERVER_MARK, "") in (self._server(), ""):
                continue
            who, cause = ("another server", "two servers that share a namespace have a deployment of the same name")
            if not is_endpoint:
                who, cause = ("somebody else", "that Deployment has no label of Headway's, so it is not replaced")
            raise Conflict(
                f"{who} has {slug(name)} in the namespace {namespace}",
                cause=cause,
                hint="give each server namespaces of its own, or delete that Deployment if nobody needs it",
            )

    def _server(self) -> str:
        """Return this server's mark; it moves with the data directory."""
        path = self._root / ".server"
        with contextlib.suppress(FileNotFoundError):
            return path.read_text("utf-8")
        self._root.mkdir(parents=True, exist_ok=True)
        write_file(path, new_id().encode())
        return path.read_text("utf-8")

    def _remove(self, place: PodFolder, namespace: str) -> None:
        self._tokens.revoke(place.name)
        for kind in _KINDS:
            name = slug(place.name) + ("-token" if kind == "Secret" else "")
            # Background: the pods drain by themselves, and nobody waits for them here.
            self.cluster().delete(kind, name, namespace=namespace, policy="Background")
        self._seen.pop(place.name, None)
        self._brought_at.pop(place.name, None)
        for file in ("cluster.json", "seen.json"):
            (place.folder / file).unlink(missing_ok=True)
        place.forget_pods(frozenset())

    def _watch(self, namespace: str, places: Iterable[PodFolder]) -> None:
        pods = self.cluster().list("Pod", namespace=namespace, labels=SELECTOR).items
        workloads = self.cluster().list("Deployment", namespace=namespace, labels=SELECTOR).items
        by_name = {found["metadata"]["name"]: found for found in workloads}
        for place in places:
            mine = [pod for pod in pods if pod["metadata"].get("labels", {}).get(NAME_LABEL) == slug(place.name)]
            kept, found = _kept(place), by_name.get(slug(place.name))
            if found is None and kept.applied:
                # Somebody removed it, or the whole namespace: it is made anew, with a token of its own.
                kept = _keep(place, replace(kept, applied="", has_token=False))
                self._wakes.set()
            seen = ClusterSeen(
                namespace=namespace,
                address=kept.address,
                pods=tuple(pod_seen(pod) for pod in mine),
                trouble=self._troubles[place.name].text or workload_trouble(found or {}),
            )
            self._note(place, seen)
            place.forget_pods(frozenset(pod["metadata"]["uid"] for pod in mine))

    def _note_away(self, places: Iterable[PodFolder], text: str) -> None:
        for place in places:
            last = self.seen(place)
            # What was seen last stands; whether pods answer, they say themselves.
            self._note(place, replace(last, address=_kept(place).address, trouble=text))

    def _note(self, place: PodFolder, seen: ClusterSeen) -> None:
        if self._seen.get(place.name) != seen:
            self._seen[place.name] = seen
            write_file(place.folder / "seen.json", msgspec.json.encode(seen))

    def _is_calm(self, place: PodFolder, wanted: Deployment | None) -> bool:
        if wanted is None:
            return not _kept(place).namespace
        seen = self.seen(place)
        pods = seen.pods or ()
        is_whole = len(pods) == replicas(wanted) and all(pod.ready for pod in pods)
        return is_whole and not seen.trouble

    def _prune(self, places: Iterable[PodFolder]) -> None:
        now = time.monotonic()
        if self._pruned_at and now - self._pruned_at < _PRUNE_EVERY:
            return
        self._pruned_at = now
        for place in places:
            place.prune_predictions(self.settings.options.keep_predictions_days)


def pod_seen(pod: dict[str, Any]) -> PodSeen:
    """Return what matters of a pod."""
    status = pod.get("status") or {}
    conditions = {one.get("type"): one for one in status.get("conditions") or ()}
    return PodSeen(
        uid=pod["metadata"]["uid"],
        name=pod["metadata"]["name"],
        ready=(conditions.get("Ready") or {}).get("status") == "True",
        ending="deletionTimestamp" in pod["metadata"],
        trouble=_pod_trouble(status, conditions.get("PodScheduled") or {}),
    )


def _pod_trouble(status: dict[str, Any], scheduled: dict[str, Any]) -> str:
    if status.get("phase") == "Failed":
        return f"{status.get('reason', 'failed')}: {status.get('message', '')}".rstrip(": ")
    if scheduled.get("status") == "False":
        return f"no node takes it: {scheduled.get('message', '')}".rstrip(": ")
    for container in status.get("containerStatuses") or ():
        waiting = (container.get("state") or {}).get("waiting") or {}
        ended = (container.get("lastState") or {}).get("terminated") or {}
        if ended.get("reason") == "OOMKilled" and not container.get("ready"):
            return f"{container['name']} took more memory than its limit and was killed; raise deploy.resources.memory"
        if waiting.get("reason", "") not in _STARTING:
            said = str(ended.get("message") or waiting.get("message", ""))[-_LONGEST_SAID:].strip()
            return f"{container['name']}: {waiting['reason']}: {said}".rstrip(": ")
    return ""


def workload_trouble(found: dict[str, Any]) -> str:
    """Return why a Deployment has fewer pods than it shall: a quota, a rule of admission."""
    for condition in (found.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True":
            error = refusal(str(condition.get("message", "")))
            return f"{error.message}: {error.cause}"
    return ""


def _is_ours(place: PodFolder, wanted: Deployment | None) -> bool:
    is_wanted = wanted is not None and wanted.target == "kubernetes"
    return is_wanted or (place.folder / "cluster.json").exists()


def _kept(place: PodFolder) -> Kept:
    return read_record(place.folder / "cluster.json", Kept) or Kept()


def _keep(place: PodFolder, kept: Kept) -> Kept:
    write_file(place.folder / "cluster.json", msgspec.json.encode(kept))
    return kept


def _address(made: dict[str, Any], port: int) -> str:
    address = str((made.get("spec") or {}).get("clusterIP") or "")
    if address in ("", "None"):
        return ""
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"

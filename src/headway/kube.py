"""The few Kubernetes calls that engine and target share: plain documents in and out, patient, and never a storm.

lightkube reads the kubeconfig (or the pod's own service account), logs in and speaks TLS; what is above that is
ours, because its watch waits for ever on an API server that hangs.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
from lightkube.config.client_adapter import Client, ConnectionParams
from lightkube.config.kubeconfig import KubeConfig, SingleConfig
from lightkube.core.exceptions import ConfigError as LightkubeConfigError

from headway.errors import UsageError
from headway.kube_errors import ClusterAway, ClusterRefused, WatchGap, Why, explain

Document = dict[str, Any]

CONNECT_SECONDS = 3.0
READ_SECONDS = 10.0
_RATE = 20.0  # requests a second of one process, and how many at once after a quiet time
_BURST = 40.0
_AGAIN = frozenset({429, 500, 502, 503, 504})
_LONGEST_PAUSE = 5.0
_PAGE = 500
_MOST_PAGES = 100
_LONGEST_ANSWER = 64 << 20  # bytes: a page of large pods is about ten megabytes
_LONGEST_CHANGE = 8 << 20  # of one line of a watch; etcd keeps no object above 1.5 MB
_WHOLE_SECONDS = 60.0  # for an answer that comes byte by byte
_FIELD_MANAGER = "headway"
_MERGE = "application/merge-patch+json"
_APPLY = "application/apply-patch+yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Which cluster, and as whom."""

    kubeconfig: str = ""  # path; "" = the pod's own service account, else KUBECONFIG, else ~/.kube/config
    context: str = ""  # "" = the current one


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What was there at one version of the cluster; a watch goes on from it."""

    items: tuple[Document, ...]
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One event of a watch."""

    type: str  # ADDED | MODIFIED | DELETED | BOOKMARK
    document: Document


# kind -> (apiVersion, plural, whether it lies in a namespace); a document's own apiVersion wins
_KINDS: dict[str, tuple[str, str, bool]] = {
    "ConfigMap": ("v1", "configmaps", True),
    "Deployment": ("apps/v1", "deployments", True),
    "Event": ("v1", "events", True),
    "Job": ("batch/v1", "jobs", True),
    "Namespace": ("v1", "namespaces", False),
    "NetworkPolicy": ("networking.k8s.io/v1", "networkpolicies", True),
    "Node": ("v1", "nodes", False),
    "PersistentVolumeClaim": ("v1", "persistentvolumeclaims", True),
    "Pod": ("v1", "pods", True),
    "PodDisruptionBudget": ("policy/v1", "poddisruptionbudgets", True),
    "ReplicaSet": ("apps/v1", "replicasets", True),
    "ResourceQuota": ("v1", "resourcequotas", True),
    "Role": ("rbac.authorization.k8s.io/v1", "roles", True),
    "RoleBinding": ("rbac.authorization.k8s.io/v1", "rolebindings", True),
    "Secret": ("v1", "secrets", True),
    "Service": ("v1", "services", True),
    "ServiceAccount": ("v1", "serviceaccounts", True),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """An answer that was read to its end, which is bounded."""

    status_code: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def text(self) -> str:
        """The body for people."""
        return self.content.decode("utf-8", "replace")


class _Bucket:
    """Lets so many requests through in a second; everybody else waits his turn."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst = rate, burst
        self._left, self._at = burst, time.monotonic()
        self._lock = threading.Lock()

    def take(self) -> None:
        with self._lock:
            now = time.monotonic()
            self._left = min(self._burst, self._left + (now - self._at) * self._rate) - 1
            self._at = now
            wait = -self._left / self._rate
        if wait > 0:
            time.sleep(wait)


class Kube:
    """One cluster; safe to use from several threads.

    Every call ends in bounded time, and a call that met a busy or absent server is tried once more.
    Errors are those of `headway.kube_errors`.
    """

    def __init__(self, client: httpx2.Client, *, namespace: str = "default", rate: float = _RATE) -> None:
        """Take a client that has the server's address and the login."""
        self._client = client
        self._bucket = _Bucket(rate, max(_BURST * rate / _RATE, 1))
        self.namespace = namespace  # what the login itself names, for who names none
        self.address = str(client.base_url).rstrip("/")

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def get(self, kind: str, name: str, *, namespace: str) -> Document | None:
        """Return an object, or None when there is none."""
        answer = self._send("GET", _path(kind, namespace, name), missing_is_fine=True)
        return None if answer is None else self._named(answer)

    def create(self, document: Document) -> tuple[Document, bool]:
        """Make an object and return it with True; the one of the same name that is there already, with False."""
        kind, name, namespace = _names(document)
        path = _path(kind, namespace, version=document.get("apiVersion", ""))
        answer = self._send("POST", path, body=document, taken_is_fine=True)
        if answer is not None:
            return self._named(answer), True
        there = self.get(kind, name, namespace=namespace)
        return (document if there is None else there), False

    def apply(self, document: Document) -> Document:
        """Make the object so (server-side apply); fields that others manage are taken over."""
        kind, name, namespace = _names(document)
        path = _path(kind, namespace, name, version=document.get("apiVersion", ""))
        params = {"fieldManager": _FIELD_MANAGER, "force": "true"}
        return self._named(self._send("PATCH", path, body=document, params=params, content_type=_APPLY))

    def patch(self, kind: str, name: str, body: Document, *, namespace: str) -> Document | None:
        """Merge `body` into an object; None when there is none."""
        path = _path(kind, namespace, name)
        answer = self._send("PATCH", path, body=body, content_type=_MERGE, missing_is_fine=True)
        return None if answer is None else self._named(answer)

    def delete(self, kind: str, name: str, *, namespace: str, grace: int | None = None, policy: str = "") -> bool:
        """Ask for an object's end and return whether it was there; what it owns goes first (policy Foreground)."""
        body: Document = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": policy or "Foreground"}
        if grace is not None:
            body["gracePeriodSeconds"] = grace
        return self._send("DELETE", _path(kind, namespace, name), body=body, missing_is_fine=True) is not None

    def list(self, kind: str, *, namespace: str, labels: str = "", fields: str = "") -> Listing:
        """Return every object that the selectors match, read page by page."""
        params = {"limit": str(_PAGE)} | _selectors(labels, fields)
        items: list[Document] = []
        for _ in range(_MOST_PAGES):
            page = self._object(self._send("GET", _path(kind, namespace), params=params))
            found, metadata = page.get("items") or [], page.get("metadata") or {}
            if not isinstance(found, list) or not isinstance(metadata, dict):
                raise self._senseless()
            items += (each for each in found if _has_name(each))
            if not metadata.get("continue"):
                return Listing(items=tuple(items), version=str(metadata.get("resourceVersion", "")))
            params["continue"] = str(metadata["continue"])
        raise self._senseless(f"its list of {kind}s goes on after {_MOST_PAGES} pages")

    def watch(
        self, kind: str, *, namespace: str, version: str, labels: str = "", fields: str = "", seconds: int = 20
    ) -> Iterator[Change]:
        """Yield what changes after `version`, for at most `seconds`; then the caller asks again.

        Raises:
            WatchGap: the server does not know the changes since `version` any more: list again.
        """
        params = {"watch": "true", "resourceVersion": version, "allowWatchBookmarks": "true"}
        params |= {"timeoutSeconds": str(seconds), **_selectors(labels, fields)}
        # A server that hangs says nothing for ever: that is found out a little after it should have ended the watch.
        timeout = httpx2.Timeout(READ_SECONDS, connect=CONNECT_SECONDS, read=seconds + 5.0)
        self._bucket.take()
        path = _path(kind, namespace)
        try:
            with self._client.stream("GET", path, params=params, timeout=timeout) as response:
                if response.status_code != 200:
                    answer = self._whole(response)
                    raise explain("GET", path, answer.status_code, answer.text, self.address)
                for line in self._lines(response, time.monotonic() + seconds + READ_SECONDS):
                    yield self._change(line)
        except LightkubeConfigError as error:
            raise _no_login(self.address, error) from error
        except (httpx2.HTTPError, OSError) as error:
            raise ClusterAway.of(self.address, error) from error

    def log(self, pod: str, *, namespace: str, container: str, limit: int = 1 << 20) -> bytes:
        """Return what a container has printed, at most `limit` bytes; nothing when it has not begun or is gone."""
        params = {"container": container, "limitBytes": str(limit)}
        path = f"{_path('Pod', namespace, pod)}/log"
        response = self._send("GET", path, params=params, missing_is_fine=True, unready_is_fine=True)
        return b"" if response is None else response.content[:limit]

    def may(self, verb: str, kind: str, *, namespace: str, subresource: str = "") -> bool:
        """Return whether the login may do this (SelfSubjectAccessReview)."""
        version, plural, _ = _KINDS[kind]
        attributes = {"verb": verb, "resource": plural, "group": version.rpartition("/")[0], "namespace": namespace}
        if subresource:
            attributes["subresource"] = subresource
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        answer = self._send("POST", "apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body=body)
        status = self._object(answer).get("status")
        return isinstance(status, dict) and status.get("allowed") is True

    def version(self) -> str:
        """Return the version of the API server, such as v1.31.4."""
        return str(self._object(self._send("GET", "version")).get("gitVersion", "unknown"))[:100]

    def raw_get(self, path: str, *, params: Mapping[str, str] | None = None) -> bytes | None:
        """Return the body of any path of the API, such as the proxy of a service; None when it is not there."""
        answer = self._send("GET", path.lstrip("/"), params=params, missing_is_fine=True)
        return None if answer is None else answer.content

    def _send(
        self,
        method: str,
        path: str,
        *,
        body: Document | None = None,
        params: Mapping[str, str] | None = None,
        content_type: str = "application/json",
        missing_is_fine: bool = False,
        taken_is_fine: bool = False,
        unready_is_fine: bool = False,
    ) -> _Answer | None:
        """Send one request, once more where that can help; None for an absence or presence that is fine."""
        content = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": content_type} if content is not None else {}
        response = self._twice(method, path, params=params, content=content, headers=headers)
        status = response.status_code
        if status < 300:
            return response
        reason = _reason(response)
        if status == 404 and missing_is_fine and not _lacks_namespace(response):
            return None
        if status == 409 and taken_is_fine and reason == "AlreadyExists":
            return None
        if status == 400 and unready_is_fine:
            return None  # the container has not begun
        raise explain(method, path, status, response.text, self.address)

    def _twice(self, method: str, path: str, **what: Any) -> _Answer:
        pause = 0.2 + random.random() * 0.3  # noqa: S311  # jitter, no secret
        try:
            self._bucket.take()
            response = self._ask(method, path, **what)
        except (httpx2.HTTPError, OSError, LightkubeConfigError):
            response = None  # a token's file may be replaced this very moment
        if response is not None:
            if response.status_code not in _AGAIN:
                return response
            pause = max(pause, _retry_after(response))
        time.sleep(pause)
        try:
            self._bucket.take()
            return self._ask(method, path, **what)
        except LightkubeConfigError as error:
            raise _no_login(self.address, error) from error
        except (httpx2.HTTPError, OSError) as error:
            raise ClusterAway.of(self.address, error) from error

    def _ask(self, method: str, path: str, **what: Any) -> _Answer:
        with self._client.stream(method, path, **what) as response:
            return self._whole(response)

    def _whole(self, response: httpx2.Response) -> _Answer:
        """Read an answer to its end: neither its length nor its pace is the other side's to choose."""
        body, deadline = bytearray(), time.monotonic() + _WHOLE_SECONDS
        for part in response.iter_bytes():
            body += part
            if len(body) > _LONGEST_ANSWER:
                raise self._senseless(f"one answer has more than {_LONGEST_ANSWER >> 20} MB")
            if time.monotonic() > deadline:
                raise self._senseless(f"one answer takes longer than {_WHOLE_SECONDS:g} seconds")
        return _Answer(status_code=response.status_code, headers=response.headers, content=bytes(body))

    def _lines(self, response: httpx2.Response, deadline: float) -> Iterator[bytes]:
        """Yield the lines of a watch; after the deadline it ends, as the other side should have ended it."""
        rest = bytearray()
        for part in response.iter_bytes():
            rest += part
            if b"\n" in part:
                *lines, last = bytes(rest).split(b"\n")
                rest = bytearray(last)
                yield from (line for line in lines if line.strip())
            if len(rest) > _LONGEST_CHANGE:
                raise self._senseless(f"one line of a watch has more than {_LONGEST_CHANGE >> 20} MB")
            if time.monotonic() > deadline:
                return
        if rest.strip():
            yield bytes(rest)

    def _change(self, line: bytes) -> Change:
        event = self._decoded(line)
        document, kind = event.get("object"), event.get("type")
        if kind == "ERROR":
            said = str(document.get("message", "")) if isinstance(document, dict) else ""
            raise WatchGap("the watch has a gap", cause=said, hint="it lists again by itself")
        is_mark = kind == "BOOKMARK" and isinstance(document, dict)
        if not isinstance(kind, str) or not isinstance(document, dict) or not (is_mark or _has_name(document)):
            raise self._senseless()
        return Change(type=kind, document=document)

    def _named(self, answer: _Answer | None) -> Document:
        found = self._object(answer)
        if not _has_name(found):
            raise self._senseless()
        return found

    def _object(self, answer: _Answer | None) -> Document:
        return {} if answer is None else self._decoded(answer.content)

    def _decoded(self, text: bytes) -> Document:
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise self._senseless(f"{error} in {text[:80]!r}") from error
        if not isinstance(found, dict):
            raise self._senseless(f"no object, but {text[:80]!r}")
        return found

    def _senseless(self, cause: str = "it is of another shape") -> ClusterAway:
        return ClusterAway(
            f"the cluster at {self.address} answers what no Kubernetes answers",
            cause=cause,
            hint="look at the address in the kubeconfig and at proxies before it; `headway doctor` asks again",
        )


def open_kube(cluster: Cluster, *, read_seconds: float = READ_SECONDS) -> Kube:
    """Read the login and return the cluster; nothing is asked of it yet.

    Raises:
        UsageError: there is no usable kubeconfig, or no such context in it.
    """
    config = _config(cluster)
    timeout = httpx2.Timeout(read_seconds, connect=CONNECT_SECONDS)
    try:
        client = Client(config, ConnectionParams(timeout=timeout, trust_env=False))
    except (LightkubeConfigError, OSError, ValueError, AssertionError) as error:
        raise UsageError(
            f"the login of {_named(cluster)} cannot be used",
            cause=str(error) or type(error).__name__,
            hint="check certificates and keys in it: `kubectl --kubeconfig FILE version` must work",
        ) from error
    return Kube(client, namespace=config.namespace)


def _config(cluster: Cluster) -> SingleConfig:
    try:
        if cluster.kubeconfig:
            found = KubeConfig.from_file(Path(cluster.kubeconfig).expanduser())
        else:
            found = KubeConfig.from_env()
        chosen = found.get(context_name=cluster.context or None)
    except (LightkubeConfigError, OSError, KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"no login to a cluster in {_named(cluster)}",
            cause=str(error) or type(error).__name__,
            hint="set HEADWAY_KUBERNETES_KUBECONFIG to a kubeconfig, or run the server in the cluster",
        ) from error
    if chosen is None:
        raise UsageError(
            f"{_named(cluster)} has no current context",
            hint="set HEADWAY_KUBERNETES_CONTEXT to one of its contexts",
        )
    return chosen


def _named(cluster: Cluster) -> str:
    where = cluster.kubeconfig or "the service account, KUBECONFIG or ~/.kube/config"
    return f"context {cluster.context!r} of {where}" if cluster.context else where


def _no_login(address: str, error: LightkubeConfigError) -> ClusterRefused:
    """Return the error for a login that cannot be had at present: it is tried again, like any refusal."""
    return ClusterRefused(
        f"there is no login for the cluster at {address}",
        why=Why.LOGIN,
        cause=str(error),
        hint="`headway doctor` asks again; programs that log in are taken up to client.authentication.k8s.io/v1beta1: "
        "with a newer one, use a kubeconfig with a token or a certificate",
    )


def _names(document: Document) -> tuple[str, str, str]:
    metadata = document["metadata"]
    return document["kind"], metadata["name"], metadata.get("namespace", "")


def _path(kind: str, namespace: str, name: str = "", *, version: str = "") -> str:
    known, plural, is_namespaced = _KINDS[kind]
    version = version or known
    parts = ["apis" if "/" in version else "api", version]
    if is_namespaced and namespace:
        parts += ["namespaces", quote(namespace, safe="")]
    parts.append(plural)
    if name:
        parts.append(quote(name, safe=""))
    return "/".join(parts)


def _selectors(labels: str, fields: str) -> dict[str, str]:
    found = {"labelSelector": labels, "fieldSelector": fields}
    return {name: value for name, value in found.items() if value}


def _has_name(found: object) -> bool:
    metadata = found.get("metadata") if isinstance(found, dict) else None
    return isinstance(metadata, dict) and isinstance(metadata.get("name"), str)


def _status(response: _Answer) -> Document:
    try:
        found = json.loads(response.content)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _reason(response: _Answer) -> str:
    return str(_status(response).get("reason", ""))


def _lacks_namespace(response: _Answer) -> bool:
    details = _status(response).get("details")
    return isinstance(details, dict) and details.get("kind") == "namespaces"


def _retry_after(response: _Answer) -> float:
    try:
        return min(float(response.headers.get("retry-after", "0")), _LONGEST_PAUSE)
    except ValueError:
        return 0.0

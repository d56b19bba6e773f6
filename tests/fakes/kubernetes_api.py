"""As much of a Kubernetes API server as Headway speaks to, over real HTTP; it passes the contract of the real one."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

Document = dict[str, Any]
Key = tuple[str, str, str]  # plural, namespace, name

_KINDS = {
    "jobs": "Job", "pods": "Pod", "secrets": "Secret", "events": "Event", "configmaps": "ConfigMap",
    "deployments": "Deployment", "services": "Service", "poddisruptionbudgets": "PodDisruptionBudget",
}  # fmt: skip


@dataclass(frozen=True)
class Change:
    version: int
    type: str
    plural: str
    document: Document


@dataclass
class KubernetesApi:
    """The store, its versions and its watches. `log` lists every request, so that a test can count them."""

    namespaces: set[str] = field(default_factory=lambda: {"default"})
    objects: dict[Key, Document] = field(default_factory=dict)
    history: list[Change] = field(default_factory=list)
    oldest: int = 0  # versions before it are forgotten: a watch from there has a gap
    log: list[str] = field(default_factory=list)
    refusals: dict[tuple[str, str], tuple[int, Document]] = field(default_factory=dict)  # (verb, plural)
    rights: Callable[[Document], bool] = lambda _: True
    on_change: list[Callable[[Change], None]] = field(default_factory=list)
    logs: dict[tuple[str, str], Callable[[], bytes]] = field(default_factory=dict)  # (pod, container)
    version: int = 1

    def __post_init__(self) -> None:
        self.lock = threading.Condition(threading.RLock())
        self.answers = threading.Event()  # cleared: it takes requests and says nothing (SIGSTOP)
        self.answers.set()
        self._server: ThreadingHTTPServer | None = None
        self.port = 0

    # --- life -----------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        api = self

        class Handler(_Handler):
            store = api

        ThreadingHTTPServer.allow_reuse_address = True
        server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        server.daemon_threads = True
        self.port = server.server_address[1]
        self._server = server
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Go away: open watches end, and nobody can connect."""
        server, self._server = self._server, None
        if server:
            server.shutdown()
            server.server_close()
            with self.lock:
                self.lock.notify_all()

    @property
    def is_up(self) -> bool:
        return self._server is not None

    @contextmanager
    def away(self) -> Iterator[None]:
        self.stop()
        try:
            yield
        finally:
            self.start()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        self.answers.clear()
        try:
            yield
        finally:
            self.answers.set()

    def compact(self) -> None:
        """Forget the history, as etcd does every five minutes, and end the open watches."""
        with self.lock:
            self.version += 1
            self.oldest = self.version
            self.history.clear()
            self.lock.notify_all()

    def kubeconfig(self, folder: Path) -> Path:
        path = folder / "kubeconfig"
        config = {
            "apiVersion": "v1", "kind": "Config", "current-context": "fake",
            "clusters": [{"name": "fake", "cluster": {"server": self.url}}],
            "users": [{"name": "headway", "user": {"token": "t"}}],
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "headway", "namespace": "default"}}],
        }  # fmt: skip
        path.write_text(json.dumps(config))
        return path

    # --- the store ------------------------------------------------------------------------------

    def put(self, plural: str, document: Document) -> Document:
        """Store an object as its controllers would, and tell the watches."""
        with self.lock:
            key = _key(plural, document)
            told = "MODIFIED" if key in self.objects else "ADDED"
            self.version += 1
            document = deepcopy(document)
            document["metadata"]["resourceVersion"] = str(self.version)
            self.objects[key] = document
            return self._tell(told, plural, document)

    def remove(self, plural: str, namespace: str, name: str) -> None:
        with self.lock:
            document = self.objects.pop((plural, namespace, name), None)
            if document is None:
                return
            self.version += 1
            document["metadata"]["resourceVersion"] = str(self.version)
            self._tell("DELETED", plural, document)
            for owned in self.owned_by(document):
                self.remove(*owned)

    def get(self, plural: str, namespace: str, name: str) -> Document | None:
        with self.lock:
            return deepcopy(self.objects.get((plural, namespace, name)))

    def owned_by(self, document: Document) -> list[Key]:
        uid = document["metadata"].get("uid")
        with self.lock:
            return [
                key
                for key, each in self.objects.items()
                if any(owner["uid"] == uid for owner in each["metadata"].get("ownerReferences", ()))
            ]

    def say(self, name: str, reason: str, message: str, *, namespace: str = "default") -> None:
        """Record an event about an object."""
        event = {
            "apiVersion": "v1", "kind": "Event", "reason": reason, "message": message, "lastTimestamp": now(),
            "metadata": {"name": f"{name}.{uuid.uuid4().hex[:12]}", "namespace": namespace},
            "involvedObject": {"name": name},
        }  # fmt: skip
        self.put("events", event)

    def refuse(self, verb: str, plural: str, message: str, *, code: int = 403) -> None:
        """Answer this from now on."""
        reason = {403: "Forbidden", 422: "Invalid", 429: "TooManyRequests"}.get(code, "InternalError")
        self.refusals[verb, plural] = (code, _status(code, reason, message))

    def allow(self, verb: str, plural: str) -> None:
        self.refusals.pop((verb, plural), None)

    def _tell(self, kind: str, plural: str, document: Document) -> Document:
        change = Change(self.version, kind, plural, deepcopy(document))
        self.history.append(change)
        self.lock.notify_all()
        for listen in self.on_change:
            listen(change)
        return deepcopy(document)


class _Handler(BaseHTTPRequestHandler):
    store: KubernetesApi
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None: ...

    def do_GET(self) -> None:  # the standard library's names
        self._answer()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815  # the same

    def _answer(self) -> None:
        api = self.store
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else {}
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        with api.lock:
            api.log.append(f"{self.command} {url.path}")
        api.answers.wait(60)
        if not api.is_up:
            self.close_connection = True
            return
        parts = [unquote(part) for part in url.path.strip("/").split("/")]
        if parts == ["version"]:
            self._send(200, {"gitVersion": "v1.31.0-fake"})
        elif parts[-1] == "selfsubjectaccessreviews":
            self._send(201, {"status": {"allowed": api.rights(body["spec"]["resourceAttributes"])}})
        else:
            self._object(parts, query, body)

    def _object(self, parts: list[str], query: dict[str, str], body: Document) -> None:
        rest = parts[parts.index("namespaces") + 1 :]
        namespace, plural, name, sub = (*rest, "", "", "")[:4]
        is_named = bool(name)
        verb = {"POST": "create", "PATCH": "patch", "PUT": "update", "DELETE": "delete"}.get(self.command)
        verb = verb or ("watch" if query.get("watch") else "get" if is_named else "list")
        refused = self.store.refusals.get((verb, plural))
        if refused:
            self._send(*refused)
        elif sub == "log":
            self._log(name, query["container"])
        else:
            getattr(self, f"_{verb}")(namespace, plural, name, body if verb in {"create", "patch", "delete"} else query)

    def _log(self, pod: str, container: str) -> None:
        found = self.store.logs.get((pod, container))
        if found is None:
            self._send(404, _status(404, "NotFound", f'pods "{pod}" not found'))
            return
        data = found()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _create(self, namespace: str, plural: str, _: str, body: Document) -> None:
        api = self.store
        if namespace not in api.namespaces:
            status = _status(404, "NotFound", f'namespaces "{namespace}" not found')
            self._send(404, {**status, "details": {"kind": "namespaces", "name": namespace}})
            return
        name = body["metadata"]["name"]
        if plural == "jobs" and not body["spec"]["template"]["spec"]["containers"]:
            self._send(422, _status(422, "Invalid", f'Job.batch "{name}" is invalid: spec.containers: Required value'))
            return
        with api.lock:
            if (plural, namespace, name) in api.objects:
                self._send(409, _status(409, "AlreadyExists", f'{plural} "{name}" already exists'))
                return
            metadata = {
                **body["metadata"],
                "namespace": namespace,
                "uid": str(uuid.uuid4()),
                "creationTimestamp": now(),
            }
            if plural == "services":
                body["spec"].setdefault("clusterIP", "127.0.0.1")
            made = api.put(plural, {**body, "metadata": metadata})
        self._send(201, made)

    def _get(self, namespace: str, plural: str, name: str, _: Any) -> None:
        found = self.store.get(plural, namespace, name)
        self._send(200, found) if found else self._absent(plural, name)

    def _patch(self, namespace: str, plural: str, name: str, body: Document) -> None:
        api = self.store
        with api.lock:
            found = api.get(plural, namespace, name)
            if found is None and "apply-patch" in self.headers.get("Content-Type", ""):
                self._create(namespace, plural, name, body)
                return
            if found is not None:
                found = api.put(plural, _merged(found, body))
        self._send(200, found) if found else self._absent(plural, name)

    def _delete(self, namespace: str, plural: str, name: str, body: Document) -> None:
        api = self.store
        with api.lock:
            found = api.get(plural, namespace, name)
            if found is None:
                self._absent(plural, name)
                return
            waits = plural == "pods" or any(key[0] == "pods" for key in api.owned_by(found))
            if waits and body.get("gracePeriodSeconds") != 0:
                found["metadata"].setdefault("deletionTimestamp", now())
                api.put(plural, found)
                for _, where, pod in [key for key in api.owned_by(found) if key[0] == "pods"]:
                    document = api.get("pods", where, pod)
                    if document and "deletionTimestamp" not in document["metadata"]:
                        document["metadata"]["deletionTimestamp"] = now()
                        api.put("pods", document)
            else:
                api.remove(plural, namespace, name)
        self._send(200, _status(200, "", ""))

    def _list(self, namespace: str, plural: str, _: str, query: dict[str, str]) -> None:
        api = self.store
        with api.lock:
            found = [each for key, each in api.objects.items() if key[:2] == (plural, namespace) and _fits(each, query)]
            page = int(query.get("limit") or 500)
            begin = int(query.get("continue") or 0)
            metadata = {"resourceVersion": str(api.version)}
            if len(found) > begin + page:
                metadata["continue"] = str(begin + page)
            self._send(
                200, {"kind": f"{_KINDS[plural]}List", "metadata": metadata, "items": found[begin : begin + page]}
            )

    def _watch(self, namespace: str, plural: str, _: str, query: dict[str, str]) -> None:
        api = self.store
        seen = int(query["resourceVersion"])
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        deadline = time.monotonic() + float(query.get("timeoutSeconds") or 20)
        try:
            while time.monotonic() < deadline and api.is_up:
                with api.lock:
                    if seen < api.oldest:
                        self._line("ERROR", _status(410, "Expired", "too old resource version"))
                        return
                    news = [each for each in api.history if each.version > seen]
                    if not news:
                        api.lock.wait(0.2)
                        continue
                for change in news:
                    seen = change.version
                    metadata = change.document["metadata"]
                    if (
                        change.plural == plural
                        and metadata.get("namespace") == namespace
                        and _fits(change.document, query)
                    ):
                        api.answers.wait(60)
                        self._line(change.type, change.document)
        except OSError:
            return

    def _line(self, kind: str, document: Document) -> None:
        self.wfile.write(json.dumps({"type": kind, "object": document}).encode() + b"\n")
        self.wfile.flush()

    def _absent(self, plural: str, name: str) -> None:
        self._send(404, _status(404, "NotFound", f'{plural} "{name}" not found'))

    def _send(self, code: int, document: Document) -> None:
        data = json.dumps(document).encode()
        try:
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
        except OSError:
            self.close_connection = True


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _key(plural: str, document: Document) -> Key:
    metadata = document["metadata"]
    return plural, metadata.get("namespace", "default"), metadata["name"]


def _status(code: int, reason: str, message: str) -> Document:
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "code": code, "reason": reason, "message": message}


def _fits(document: Document, query: dict[str, str]) -> bool:
    labels = document["metadata"].get("labels") or {}
    for wanted in filter(None, query.get("labelSelector", "").split(",")):
        name, _, value = wanted.partition("=")
        if labels.get(name) != value:
            return False
    for wanted in filter(None, query.get("fieldSelector", "").split(",")):
        path, _, value = wanted.partition("=")
        found: Any = document
        for part in path.split("."):
            found = (found or {}).get(part)
        if found != value:
            return False
    return True


def _merged(into: Document, changes: Document) -> Document:
    made = dict(into)
    for name, value in changes.items():
        if value is None:
            made.pop(name, None)
        else:
            made[name] = _merged(made.get(name) or {}, value) if isinstance(value, dict) else value
    return made

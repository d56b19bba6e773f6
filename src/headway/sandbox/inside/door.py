"""The door: the only way from an attempt to the tracking server, which holds while that server is away.

Foreign code speaks plain MLflow to an address on its own loopback, with a token that is worth nothing
elsewhere; the attempt's real token is put in here. What only appends is journalled while the server does
not answer, artifacts are spooled, everything else waits for the server.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import hmac
import json
import os
import secrets
import socket
import threading
import time
import uuid
from pathlib import Path

from delivery import Delivery
from routes import APPEND, ARTIFACT, kind_of
from stamp import Stamp
from upstream import Away, Request, Response, Upstream

import wire

SANDBOX_PORT = 7475  # on the sandbox's own loopback nobody else can have taken it
_CLIENTS = 128
_IDLE_SECONDS = 75.0
_ARTIFACT_SECONDS = 120.0
_SMALL = 1 << 20
_LARGEST_BODY = 64 << 20
_PASSED_ON = ("content-type", "content-encoding", "accept", "user-agent", "range", "x-mlflow-workspace", "traceparent")
_PASSED_BACK = (
    "content-type",
    "content-disposition",
    "content-range",
    "accept-ranges",
    "etag",
    "x-content-type-options",
)


class Door:
    """Listens, passes on, and keeps what cannot be passed on yet."""

    def __init__(self, folder: Path, spec: dict, *, hold: float, answer: float) -> None:
        self._folder = folder / "door"
        self._folder.mkdir(exist_ok=True)
        self._spool = self._folder / "spool"
        self._spool.mkdir(exist_ok=True)
        self._spec = spec
        self._hold = hold
        self._answer_seconds = {APPEND: answer, ARTIFACT: _ARTIFACT_SECONDS}
        self._placeholder = spec.get("placeholder") or f"door_{secrets.token_hex(16)}"
        self._stamp = Stamp(spec.get("stamp") or {})
        waits_for = {"waits_for": frozenset(spec["waits_for"])} if "waits_for" in spec else {}
        self._delivery = Delivery(self._folder, self.connect, **waits_for)
        self._listener: socket.socket | None = None
        self._closing = threading.Event()
        self._places = threading.BoundedSemaphore(_CLIENTS)
        self._own = self.connect()
        self._busy = 0
        self._idle = threading.Condition()

    def listen(self, *, network: bool) -> dict[str, str]:
        """Take an address and return the variables that lead foreign code to it."""
        if network:
            self._listener = socket.create_server(("127.0.0.1", self._spec.get("port", 0)), backlog=_CLIENTS)
            port = self._listener.getsockname()[1]
        else:
            self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            # The full path may be longer than a socket's address can be; the supervisor stands in the folder.
            path = Path(os.path.relpath(self._folder / "socket"))
            path.unlink(missing_ok=True)
            self._listener.bind(str(path))
            self._listener.listen(_CLIENTS)
            port = SANDBOX_PORT
        found = {
            "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{port}",
            "MLFLOW_TRACKING_TOKEN": self._placeholder,
            "HEADWAY_TRACKING_URI": f"http://127.0.0.1:{port}",
        }
        if self._spec["run_id"]:  # outside a job the code makes its runs itself
            found |= {
                "MLFLOW_RUN_ID": self._spec["run_id"],
                "MLFLOW_EXPERIMENT_ID": self._spec["experiment_id"],
                "HEADWAY_RUN_ID": self._spec["run_id"],
            }
        return found

    def start(self) -> None:
        """Begin to accept, and to deliver."""
        threading.stack_size(512 * 1024)
        threading.Thread(target=self._accept, name="door", daemon=True).start()
        self._delivery.start()

    def connect(self) -> Upstream:
        """Return a connection to the server that is not made yet."""
        return Upstream(self._spec.get("server") or Path(self._spec["server_file"]), self._spec["token"])

    def record(self, target: str, body: dict) -> None:
        """Log something of our own, as the foreign code would; used by one thread."""
        request = Request("POST", target, {"Content-Type": "application/json"}, json.dumps(body).encode())
        self._append(request, self._own, APPEND)

    def pending(self) -> int:
        """Return how many requests were answered here that the server has not accepted."""
        return self._delivery.journal.pending + self._delivery.refused

    def status(self) -> dict:
        """Return what people want to know: what waits, what was refused, what is the matter, which runs were made."""
        return {
            "pending": self._delivery.journal.pending,
            "refused": self._delivery.refused,
            "refusal": self._delivery.refusal,
            "full": self._delivery.full,
            "trouble": self._delivery.trouble,
            "runs": list(self._stamp.runs),
        }

    def close_intake(self) -> None:
        """Let nobody in any more, and wait until those inside have been answered or journalled."""
        self._closing.set()
        if self._listener:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        deadline = time.monotonic() + max(self._answer_seconds.values())
        with self._idle:
            while self._busy and (left := deadline - time.monotonic()) > 0:
                self._idle.wait(left)

    def drain(self, seconds: float) -> int:
        """Wait until all is delivered, at most so long; return how many requests never were."""
        journal = self._delivery.journal
        journal.wait_until_delivered(journal.last, time.monotonic() + seconds)
        return self.pending()

    def _accept(self) -> None:
        while not self._closing.is_set():
            self._places.acquire()
            try:
                client, _ = self._listener.accept()
            except OSError as error:
                self._places.release()
                if self._closing.is_set() or error.errno == errno.EBADF:
                    return
                time.sleep(0.05)  # out of descriptors: somebody will hang up
                continue
            threading.Thread(target=self._serve, args=(client,), name="client", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        upstream = self.connect()
        try:
            client.settimeout(_IDLE_SECONDS)
            if client.family != socket.AF_UNIX:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with client, client.makefile("rb", buffering=1 << 16) as stream:
                while self._serve_one(client, stream, upstream):
                    pass
        except (OSError, wire.BadMessage, Away):
            pass  # the client has gone, or speaks something else; the connection is all that is lost
        finally:
            upstream.close()
            self._places.release()

    def _serve_one(self, client: socket.socket, stream: object, upstream: Upstream) -> bool:
        head = wire.read_head(stream)
        if head is None:
            return False
        if kind_of(head.first[0], head.first[1]) not in {APPEND, ARTIFACT}:
            return self._answer(head, client, stream, upstream)
        with self._idle:
            self._busy += 1
        try:
            return self._answer(head, client, stream, upstream)
        finally:
            with self._idle:
                self._busy -= 1
                self._idle.notify_all()

    def _answer(self, head: wire.Head, client: socket.socket, stream: object, upstream: Upstream) -> bool:
        method, target = head.first[0], head.first[1]
        kind = kind_of(method, target)
        if kind is None or not self._knows(head.headers.get("authorization", "")):
            status, code, text = (
                (404, "ENDPOINT_NOT_FOUND", f"the door leads to the tracking server only, not to {target[:200]}")
                if kind is None
                else (401, "UNAUTHENTICATED", "send the value of MLFLOW_TRACKING_TOKEN as bearer token")
            )
            client.sendall(_error(status, code, text, close=True))
            return False
        length = wire.body_length(head)
        if kind != ARTIFACT and (length or 0) > _LARGEST_BODY:
            client.sendall(_error(413, "INVALID_PARAMETER_VALUE", "a body over 64 MB is not taken", close=True))
            return False
        if head.headers.get("expect", "").lower() == "100-continue":
            client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        try:
            request = self._read_request(head, stream, length, spools=kind == ARTIFACT)
        except OSError as error:
            if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
                raise
            self._delivery.full = f"no room on the disk to keep {head.first[1][:200]}"
            client.sendall(_not_now("no room on the disk to keep this artifact", close=True))
            return False
        if kind in {APPEND, ARTIFACT}:
            client.sendall(self._append(request, upstream, kind))
        else:
            self._pass_on(self._stamp.mark(request), client, upstream)
        return head.keeps_alive

    def _knows(self, given: str) -> bool:
        """Say whether a client brings the placeholder, as token or as a password: MLflow prefers the latter."""
        scheme, _, said = given.partition(" ")
        if scheme.lower() == "basic":
            try:
                said = base64.b64decode(said, validate=True).decode().partition(":")[2]
            except ValueError:
                return False
        elif scheme != "Bearer":
            return False
        return hmac.compare_digest(said.encode(), self._placeholder.encode())

    def _read_request(self, head: wire.Head, stream: object, length: int | None, *, spools: bool) -> Request:
        headers = {name.title(): head.headers[name] for name in _PASSED_ON if name in head.headers}
        method, target = head.first[0], head.first[1]
        if method not in {"GET", "HEAD"}:
            headers["Idempotency-Key"] = uuid.uuid4().hex
        parts = wire.body_parts(stream, length)
        if spools and (length is None or length > _SMALL):
            return Request(method, target, headers, spool=self._to_spool(parts))
        body = bytearray()
        for part in parts:
            body += part
            if len(body) > _LARGEST_BODY:
                raise wire.BadMessage("a chunked body over 64 MB")
        return Request(method, target, headers, bytes(body))

    def _to_spool(self, parts: object) -> Path:
        path = self._spool / uuid.uuid4().hex
        try:
            with path.open("xb") as out:
                for part in parts:
                    out.write(part)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return path

    def _append(self, request: Request, upstream: Upstream, kind: str) -> bytes:
        """Deliver at once when nothing older waits and the server is there; otherwise keep it and say yes."""
        if not self._delivery.journal.pending:
            try:
                response = upstream.send(request, seconds=self._answer_seconds[kind])
                body = response.read()
            except Away as away:
                self._delivery.trouble = str(away)
            else:
                self._delivery.trouble = ""
                if request.spool:
                    request.spool.unlink(missing_ok=True)
                return _relay(response, body)
        try:
            self._delivery.keep(request)
        except OSError as error:
            if request.spool:
                request.spool.unlink(missing_ok=True)
            self._delivery.full = f"the server is away, and the journal takes no more: {error.strerror}"
            return _not_now(f"the server is away and this could not be kept: {error.strerror}")
        return _message(200, "OK", {"content-type": "application/json"}, b"{}")

    def _pass_on(self, request: Request, client: socket.socket, upstream: Upstream) -> None:
        """Wait for all that was kept before, then for the server; its answer is passed back as it comes."""
        deadline = time.monotonic() + self._hold
        journal = self._delivery.journal
        pause = 0.05
        journal.wait_until_delivered(journal.last, deadline)
        while not self._closing.is_set():
            try:
                response = upstream.send(request, seconds=60.0)
                self._delivery.trouble = ""
                if response.length is not None and response.length <= _SMALL:
                    body = response.read()
                    self._keep_patch(request, response.status, body)
                    client.sendall(_relay(response, body))
                else:
                    _stream_back(response, client, upstream)
            except Away as away:
                self._delivery.trouble = str(away)
                if time.monotonic() + pause > deadline:
                    client.sendall(_not_now(f"the tracking server is away: {away}"))
                    return
                time.sleep(pause)
                pause = min(pause * 1.5, 1.0)
            else:
                return

    def _keep_patch(self, request: Request, status: int, body: bytes) -> None:
        patch = self._stamp.patch_for(request, status, body)
        if patch is None:
            return
        try:
            self._delivery.keep(patch)
        except OSError as error:
            self._delivery.full = f"the patch of the working tree could not be kept: {error.strerror}"


def _stream_back(response: Response, client: socket.socket, upstream: Upstream) -> None:
    headers = {name: response.headers[name] for name in _PASSED_BACK if name in response.headers}
    chunked = response.length is None
    headers["transfer-encoding" if chunked else "content-length"] = "chunked" if chunked else str(response.length)
    try:
        client.sendall(wire.message(f"HTTP/1.1 {response.status} {response.reason}", headers))
        for part in response.parts:
            client.sendall(b"%x\r\n%b\r\n" % (len(part), part) if chunked else part)
        if chunked:
            client.sendall(b"0\r\n\r\n")
    except (OSError, Away) as error:
        upstream.close()
        raise wire.BadMessage("the answer broke off") from error  # it has begun: nothing can be said any more


def _relay(response: Response, body: bytes) -> bytes:
    headers = {name: response.headers[name] for name in _PASSED_BACK if name in response.headers}
    return _message(response.status, response.reason, headers, body)


def _message(status: int, reason: str, headers: dict[str, str], body: bytes) -> bytes:
    return wire.message(f"HTTP/1.1 {status} {reason}", {**headers, "content-length": str(len(body))}, body)


def _not_now(text: str, *, close: bool = False) -> bytes:
    return _error(503, "TEMPORARILY_UNAVAILABLE", text, close=close)  # MLflow's client tries again by itself


def _error(status: int, code: str, text: str, *, close: bool = False) -> bytes:
    headers = {"content-type": "application/json", **({"connection": "close"} if close else {})}
    return _message(status, "Error", headers, json.dumps({"error_code": code, "message": text}).encode())

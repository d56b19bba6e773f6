"""The endpoint's HTTP face: Open Inference Protocol v2, MLflow's scoring protocol, KServe's first one.

Raw ASGI, because a framework's share of a request would be larger than everything that happens here.
Errors say what the model wants, never what was sent, and show nobody a traceback.
"""

from __future__ import annotations

import re
import time
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import msgspec

from headway import __version__
from headway.ids import new_id
from headway.serving import invocations, oip
from headway.serving.counters import prometheus
from headway.serving.endpoint import READY, Endpoint, NoVersion, Version
from headway.serving.inside import frames
from headway.serving.model_folder import TensorSpec
from headway.serving.scorer_process import ScorerSlow
from headway.serving.tensors import BadRequest, Tensor, from_frame, to_frame

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from headway.serving.prediction_log import PredictionLog

    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_MODEL_PATH = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?(?:/(ready|infer))?/?\Z")
_V1_PATH = re.compile(r"/v1/models(?:/([^/:]+?)(:predict)?)?/?\Z")
_SAFE_ID = re.compile(rb"[\x21-\x7e]{1,200}\Z")
_JSON = b"application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the endpoint takes."""

    body_bytes: int = 16 << 20
    in_flight: int = 512
    logged_bytes: int = 16 << 10  # of one request's inputs, and of its outputs
    sample: float = 1.0  # share of requests whose inputs and outputs are logged; ids always are


@dataclass(slots=True, kw_only=True)
class Call:
    """One request on its way."""

    method: str
    path: str
    headers: dict[bytes, bytes]
    body: bytes
    request_id: str
    began: float
    client_id: str = ""
    version: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back."""

    status: int
    body: bytes
    content_type: bytes = _JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Rest:
    """The ASGI application of one deployment."""

    def __init__(self, name: str, endpoint: Endpoint, log: PredictionLog, limits: Limits) -> None:
        """Tie HTTP to the endpoint."""
        self.name = name
        self.endpoint = endpoint
        self.log = log
        self.limits = limits
        self.is_closing = False  # callers are told to connect anew, where another process answers
        self._sampled = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise RuntimeError("only HTTP is spoken here")
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"")
        request_id = given.decode() if _SAFE_ID.match(given) else new_id()
        call = Call(
            method=scope["method"],
            path=scope["path"],
            headers=headers,
            body=b"",
            request_id=request_id,
            began=time.perf_counter(),
        )
        answer = await self._guarded(call, receive)
        out = [
            (b"content-type", answer.content_type),
            (b"content-length", str(len(answer.body)).encode()),
            (b"x-request-id", request_id.encode()),
            *answer.headers,
        ]
        if self.is_closing:
            out.append((b"connection", b"close"))
        if call.version:
            out.append((b"x-model-version", str(call.version).encode()))
        await send({"type": "http.response.start", "status": answer.status, "headers": out})
        await send({"type": "http.response.body", "body": answer.body})

    async def _guarded(self, call: Call, receive: Receive) -> Answer:
        shape = _mlflow_error if call.path == "/invocations" else _error
        try:
            call.body = await self._body(call, receive)
            return await self._route(call)
        except BadRequest as error:
            if call.version:
                self.endpoint.counters.rejected(call.version)
            return shape(error.status, error.message)
        except NoVersion as error:
            return shape(503, str(error), retry=True)
        except ScorerSlow:
            return shape(504, "the model did not answer in time")
        except ModelFailed:
            return shape(500, "the model failed on this request; the deployment's log says why")

    async def _body(self, call: Call, receive: Receive) -> bytes:
        if int(call.headers.get(b"content-length", b"0") or 0) > self.limits.body_bytes:
            raise BadRequest(f"the body is larger than {self.limits.body_bytes} bytes", 413)
        message = await receive()
        body: bytes = message.get("body", b"")
        if not message.get("more_body"):
            return body
        parts = [body]
        size = len(body)
        while message.get("more_body"):
            message = await receive()
            part = message.get("body", b"")
            size += len(part)
            if size > self.limits.body_bytes:
                raise BadRequest(f"the body is larger than {self.limits.body_bytes} bytes", 413)
            parts.append(part)
        return b"".join(parts)

    async def _route(self, call: Call) -> Answer:
        if call.path == "/invocations":
            return await self._invocations(call)
        matched = _MODEL_PATH.match(call.path)
        if matched:
            return await self._model(call, unquote(matched[1]), matched[2], matched[3])
        matched = _V1_PATH.match(call.path)
        if matched:
            return await self._v1(call, matched[1], predict=matched[2] is not None)
        if call.method in ("GET", "HEAD"):
            return self._plain(call.path)
        return _error(404, "no such path")

    # --- health and metadata ------------------------------------------------------------------------

    def _plain(self, path: str) -> Answer:
        if path in ("/ping", "/health", "/v2/health/live", "/v2/health/ready"):
            return self._health(path)
        if path in ("/v2", "/v2/"):
            return _json({"name": "headway", "version": __version__, "extensions": ["binary_tensor_data"]})
        if path == "/v2/models":
            return _json({"models": self._models()})
        if path == "/version":
            return Answer(200, __version__.encode(), b"text/plain; charset=utf-8")
        if path == "/metrics":
            up = [number for number, state in self.endpoint.states().items() if state == READY]
            text = prometheus(self.name, self.endpoint.counters, up)
            return Answer(200, text.encode(), b"text/plain; version=0.0.4; charset=utf-8")
        return _error(404, "no such path")

    def _health(self, path: str) -> Answer:
        if path == "/v2/health/live":
            return _json({"live": True})
        ready = self.endpoint.is_ready
        if path == "/v2/health/ready":
            return _json({"ready": ready, "live": True}, 200 if ready else 503)
        return Answer(200 if ready else 503, b"\n")

    def _models(self) -> list[str]:
        return list(dict.fromkeys(version.route.model for version in self.endpoint.versions.values()))

    def _check_model(self, name: str) -> None:
        if name not in self._models():
            raise BadRequest("no such model", 404)

    async def _model(self, call: Call, name: str, number: str | None, action: str | None) -> Answer:
        self._check_model(name)
        pinned = None if number is None else self._number(number)
        if action == "infer":
            if call.method != "POST":
                return _error(405, "infer takes POST")
            return await self._infer(call, name, pinned)
        if call.method not in ("GET", "HEAD"):
            return _error(405, "this path takes GET")
        version = self.endpoint.choose("metadata", pinned)
        if action == "ready":
            ready = version.state == READY
            return _json({"name": name, "ready": ready}, 200 if ready else 503)
        return _json(self._metadata(name, version))

    def _number(self, text: str) -> int:
        if text.isascii() and text.isdigit() and int(text) in self.endpoint.states():
            return int(text)
        raise BadRequest("no such version", 404)

    def _metadata(self, name: str, version: Version) -> dict[str, Any]:
        signature = version.folder.signature
        outputs = version.hello.outputs or [_described(one, "predictions") for one in signature.outputs]
        inputs = [_described(one, "input") for one in signature.inputs]
        if not inputs and version.hello.width:
            inputs = [{"name": "input", "datatype": "FP64", "shape": [-1, version.hello.width]}]
        return {
            "name": name,
            "versions": [str(number) for number in sorted(self.endpoint.states())],
            "platform": version.folder.platform,
            "inputs": inputs,
            "outputs": outputs,
        }

    # --- predictions --------------------------------------------------------------------------------

    async def _infer(self, call: Call, name: str, pinned: int | None) -> Answer:
        first = self._admit(call, pinned)
        length = call.headers.get(b"inference-header-content-length")
        if length is not None and not length.isdigit():
            raise BadRequest("Inference-Header-Content-Length must be a number")
        request = oip.parse_infer(call.body, None if length is None else int(length))
        call.client_id = request.id or ""
        want = self._wanted(call, "probabilities" in request.outputs)
        layout = "table" if len(request.tensors) > 1 else "tensors"
        extra = {"layout": layout, "want": want, "parameters": {}}
        version, tensors, _ = await self._ask(call, first, request.tensors, extra, pinned=pinned is not None)
        head = {
            "model_name": name,
            "model_version": str(version.route.version),
            "id": request.id if request.id is not None else call.request_id,
        }
        body, json_length = oip.answer(request, oip.select(tensors, request), head)
        self._remember(call, version, tensors, 200, is_json=length is None)
        if json_length is None:
            return Answer(200, body)
        header = (b"inference-header-content-length", str(json_length).encode())
        return Answer(200, body, b"application/octet-stream", (header,))

    async def _invocations(self, call: Call) -> Answer:
        if call.method != "POST":
            return _mlflow_error(405, "invocations takes POST")
        first = self._admit(call, None)
        content_type = call.headers.get(b"content-type", b"").decode("latin-1")
        signature = first.folder.signature
        request = invocations.parse_invocation(call.body, content_type, signature)
        want = self._wanted(call, asked=False)
        extra = {"layout": request.layout, "want": want, "parameters": request.parameters}
        version, tensors, layout = await self._ask(call, first, request.tensors, extra, pinned=False)
        plain: dict[str, Any] = {"predictions": None}
        if want:
            *tensors, probabilities = tensors
            plain["probabilities"] = probabilities.nested()
        plain["predictions"] = invocations.predictions(layout, tensors)
        self._remember(call, version, tensors, 200, is_json="json" in content_type)
        return Answer(200, msgspec.json.encode(plain))

    async def _v1(self, call: Call, name: str | None, *, predict: bool) -> Answer:
        if name is None:
            return _json({"models": self._models()})
        self._check_model(unquote(name))
        if not predict:
            return _json({"name": unquote(name), "ready": self.endpoint.is_ready})
        if call.method != "POST":
            return _error(405, "predict takes POST")
        call.headers[b"content-type"] = _JSON
        return await self._invocations(call)

    def _wanted(self, call: Call, asked: bool) -> list[str]:  # noqa: FBT001  # one private caller each
        return ["probabilities"] if asked or call.headers.get(b"x-headway-probabilities") == b"1" else []

    def _admit(self, call: Call, pinned: int | None) -> Version:
        if self.endpoint.in_flight >= self.limits.in_flight:
            raise NoVersion("too many requests are waiting")
        key = call.headers.get(b"x-headway-key", b"").decode("latin-1")
        version = self.endpoint.choose(key, pinned)
        call.version = version.route.version
        return version

    async def _ask(
        self, call: Call, version: Version, tensors: list[Tensor], extra: dict[str, Any], *, pinned: bool
    ) -> tuple[Version, list[Tensor], str]:
        if extra["want"] and not version.hello.probabilities:
            extra["want"] = []
        if any(not one.shape or not one.shape[0] for one in tensors):
            raise BadRequest("the request has no rows")
        head, blob = to_frame(tensors, extra)
        self.endpoint.in_flight += 1
        try:
            version, (kind, _, answer_head, answer_blob) = await self.endpoint.ask(version, head, blob, pinned=pinned)
        except ScorerSlow:
            self._failed(call, version, 504)
            raise
        except NoVersion:
            self._remember(call, version, [], 503, is_json=False)
            raise
        finally:
            self.endpoint.in_flight -= 1
        call.version = version.route.version
        report = msgspec.json.decode(answer_head)
        if kind == frames.BAD_INPUT:
            raise BadRequest(report["error"])
        if kind == frames.MODEL_ERROR:
            self._failed(call, version, 500)
            raise ModelFailed
        milliseconds = (time.perf_counter() - call.began) * 1000
        self.endpoint.counters.answered(call.version, milliseconds, missing=report["missing"])
        return version, from_frame(report["arrays"], answer_blob), report["layout"]

    def _failed(self, call: Call, version: Version, status: int) -> None:
        self.endpoint.counters.failed(version.route.version, (time.perf_counter() - call.began) * 1000)
        self._remember(call, version, [], status, is_json=False)

    def _remember(self, call: Call, version: Version, tensors: list[Tensor], status: int, *, is_json: bool) -> None:
        inputs: Any = None
        outputs: Any = None
        self._sampled += self.limits.sample
        if self._sampled >= 1:
            self._sampled -= 1
            if is_json and len(call.body) <= self.limits.logged_bytes:
                inputs = msgspec.Raw(call.body.replace(b"\n", b" "))  # line ends stand only between tokens
            if sum(len(one.raw or b"") for one in tensors) <= self.limits.logged_bytes:
                outputs = {one.name: one.nested() for one in tensors}
        key = call.headers.get(b"x-headway-key")
        self.log.add(
            msgspec.json.encode(
                {
                    "id": call.request_id,
                    "client_id": call.client_id,
                    "at": datetime.now(UTC),
                    "deployment": self.name,
                    "model": version.route.model,
                    "version": version.route.version,
                    "status": status,
                    "latency_ms": round((time.perf_counter() - call.began) * 1000, 3),
                    "key": "" if key is None else f"{zlib.crc32(key):08x}",
                    "inputs": inputs,
                    "outputs": outputs,
                }
            )
        )


class ModelFailed(Exception):
    """The model raised; what it said stands in the deployment's log."""


def _described(one: TensorSpec, default: str) -> dict[str, Any]:
    return {"name": one.name or default, "datatype": one.datatype, "shape": list(one.shape) or [-1]}


def _json(value: Any, status: int = 200) -> Answer:
    return Answer(status, msgspec.json.encode(value))


def _error(status: int, text: str, *, retry: bool = False) -> Answer:
    headers = ((b"retry-after", b"1"),) if retry else ()
    return Answer(status, msgspec.json.encode({"error": text}), headers=headers)


def _mlflow_error(status: int, text: str, *, retry: bool = False) -> Answer:
    codes = {400: "BAD_REQUEST", 404: "RESOURCE_DOES_NOT_EXIST", 413: "BAD_REQUEST", 415: "BAD_REQUEST"}
    headers = ((b"retry-after", b"1"),) if retry else ()
    body = {"error_code": codes.get(status, "INTERNAL_ERROR"), "message": text, "error": text}
    return Answer(status, msgspec.json.encode(body), headers=headers)

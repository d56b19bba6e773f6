"""The pod's way to the server: its reports, its logs, and the files that it fetches."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import httpx
import msgspec

from headway.errors import HeadwayError, NotFound, Refused, Unreachable
from headway.serving.kubernetes.exchange import EnvironmentOrder, PodOrder, PodReport, Taken

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

_T = TypeVar("_T")
_HINT = "look at HEADWAY_KUBERNETES_SERVER_URL and at the network policies of the namespace"


class Upstream:
    """The server as one pod of one deployment sees it; every call ends in bounded time.

    Errors: `Unreachable` when it does not answer, `Refused` when the token opens nothing any more, `NotFound`.
    """

    def __init__(self, url: str, name: str, uid: str, *, token_file: Path) -> None:
        """Speak to `url` with the token in the file, which is read anew for every request."""
        self._token_file = token_file
        self._base = f"/api/v1/endpoints/{name}"
        self._pod = f"{self._base}/pods/{uid}"
        self._client = httpx.Client(base_url=url, timeout=httpx.Timeout(20, connect=5), trust_env=False)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def report(self, report: PodReport) -> PodOrder:
        """Say how the pod is; the answer is what it shall serve."""
        return self._decoded(self._send("PUT", self._pod, content=msgspec.json.encode(report)), PodOrder)

    def append_log(self, offset: int, data: bytes) -> int:
        """Add to the pod's log; returns how much of it the server has, where the pod goes on from."""
        answer = self._send("POST", f"{self._pod}/log", content=data, params={"offset": str(offset)})
        return self._decoded(answer, Taken).size

    def append_predictions(self, segment: str, offset: int, data: bytes) -> int:
        """Add to a segment of the prediction log; returns how much of it the server has."""
        where = {"segment": segment, "offset": str(offset)}
        answer = self._send("POST", f"{self._pod}/predictions", content=data, params=where)
        return self._decoded(answer, Taken).size

    def environment(self, digest: str) -> EnvironmentOrder:
        """Return what an environment is made of."""
        answer = self._send("GET", f"{self._base}/environments/{digest}")
        return self._decoded(answer, EnvironmentOrder)

    def model(self, digest: str) -> AbstractContextManager[Iterator[bytes]]:
        """Return the files of a model as an archive, chunk by chunk."""
        return _Archive(self, f"{self._base}/models/{digest}")

    def _send(
        self, method: str, path: str, *, content: bytes | None = None, params: dict[str, str] | None = None
    ) -> httpx.Response:
        try:
            answer = self._client.request(method, path, content=content, params=params, headers=self.headers())
        except (httpx.HTTPError, OSError) as error:
            raise _away(self._client, error) from error
        if answer.status_code >= 300:
            raise _failure(answer)
        return answer

    def headers(self) -> dict[str, str]:
        """Return what every request carries."""
        return {"Authorization": f"Bearer {self._token_file.read_text().strip()}"}

    def open_stream(self, path: str) -> httpx.Response:
        """Send a request whose answer is read piece by piece."""
        try:
            answer = self._client.send(
                self._client.build_request("GET", path, headers=self.headers()),
                stream=True,
            )
            if answer.status_code >= 300:
                answer.read()
        except (httpx.HTTPError, OSError) as error:
            raise _away(self._client, error) from error
        if answer.status_code >= 300:
            raise _failure(answer)
        return answer

    def _decoded(self, answer: httpx.Response, kind: type[_T]) -> _T:
        try:
            return msgspec.json.decode(answer.content, type=kind)
        except (msgspec.DecodeError, RecursionError) as error:
            raise Unreachable("the server's answer is not one of Headway's", cause=str(error), hint=_HINT) from error


class _Archive:
    """An answer that is closed however its reading ends."""

    def __init__(self, upstream: Upstream, path: str) -> None:
        self._upstream, self._path = upstream, path
        self._answer: httpx.Response | None = None

    def __enter__(self) -> Iterator[bytes]:
        self._answer = self._upstream.open_stream(self._path)
        return self._pieces(self._answer)

    @staticmethod
    def _pieces(answer: httpx.Response) -> Iterator[bytes]:
        try:
            yield from answer.iter_bytes(1 << 20)
        except (httpx.HTTPError, OSError) as error:
            raise Unreachable("the server went away while it sent a model", cause=str(error), hint=_HINT) from error

    def __exit__(self, *_: object) -> None:
        if self._answer is not None:
            self._answer.close()


def _away(client: httpx.Client, error: Exception) -> Unreachable:
    cause = str(error) or type(error).__name__
    return Unreachable(f"the server at {client.base_url} does not answer", cause=cause, hint=_HINT)


def _failure(answer: httpx.Response) -> HeadwayError:
    try:
        said = msgspec.json.decode(answer.content)
        message, cause = str(said.get("message", "")), str(said.get("cause", ""))
    except (msgspec.DecodeError, AttributeError):
        message, cause = f"the server answers {answer.status_code}", answer.text[:200]
    if answer.status_code in (401, 403, 409):
        return Refused(message, cause=cause)
    if answer.status_code == 404:
        return NotFound(message, cause=cause)
    if answer.status_code >= 500:
        return Unreachable(message, cause=cause)
    return HeadwayError(message, cause=cause)

"""HTTP with another tracker: login by arguments, patience with what passes, plain words for what does not."""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import httpx
import msgspec

from headway.errors import HeadwayError, LoginNeeded, NotFound, Refused, TooLarge, Unreachable, UsageError

T = TypeVar("T")
Query = Mapping[str, str | int | Sequence[str]]

TIMEOUT = 60.0  # between two bytes: old servers take seconds for a page of runs
CONNECT_TIMEOUT = 10.0
MOST_BYTES = 256 << 20  # of one answer that is kept in memory
CHUNK = 1 << 20
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_LONGEST_WAIT = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """How to log in at the peer: a token goes before name and password; all empty means none."""

    token: str = ""
    username: str = ""
    password: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How often a request is tried, and how long the first wait between two tries is; each further one doubles."""

    tries: int = 6
    wait: float = 0.5
    timeout: float = TIMEOUT


class _Failure(msgspec.Struct, frozen=True):
    error_code: str = ""
    message: str = ""


class PeerConnection:
    """Requests to one tracker; threads may share it.

    Errors: `Unreachable` after the last try, `LoginNeeded` (401), `Refused` (403), `NotFound` (404),
    `UsageError` for what it calls a mistake of ours, `HeadwayError` for an answer that does not parse.
    """

    def __init__(
        self,
        uri: str,
        *,
        login: Login | None = None,
        patience: Patience | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Take the address apart; nothing is sent yet."""
        self.uri = checked_uri(uri)
        self._patience = patience or Patience()
        login = login or Login()
        auth = httpx.BasicAuth(login.username, login.password) if login.username and not login.token else None
        self._client = httpx.Client(
            base_url=self.uri,
            auth=auth,
            headers={"authorization": f"Bearer {login.token}"} if login.token else {},
            timeout=httpx.Timeout(self._patience.timeout, connect=CONNECT_TIMEOUT),
            follow_redirects=False,  # a login must not travel to where a redirect points
            transport=transport,
        )

    def close(self) -> None:
        """Let the connections go."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get(self, path: str, kind: type[T], query: Query | None = None) -> T:
        """Read one answer."""
        return parsed(self.send("GET", path, query=query), kind, self.uri + path)

    def post(self, path: str, kind: type[T], body: Mapping[str, Any], *, is_repeatable: bool = True) -> T:
        """Send one message; what would happen twice when it is sent twice says so, and is tried once."""
        content = msgspec.json.encode(body)
        return parsed(self.send("POST", path, content=content, is_repeatable=is_repeatable), kind, self.uri + path)

    def send(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        content: bytes | None = None,
        is_repeatable: bool = True,
    ) -> bytes:
        """Send a request, again when it fails in a passing way, and return the body of a good answer."""
        headers = {"content-type": "application/json"} if content is not None else None
        tries = self._patience.tries if is_repeatable else 1
        for number in range(1, tries + 1):
            try:
                with self._client.stream(method, path, params=query, content=content, headers=headers) as answer:
                    if answer.status_code < 300:
                        return _body(answer)
                    failure = self._failure(f"{method} {path}", answer)
                    wait = _asked_wait(answer) if answer.status_code in _PASSING else None
                    if answer.status_code not in _PASSING:
                        raise failure
            except httpx.HTTPError as error:
                failure, wait = self._unreachable(error), 0.0
            if number == tries:
                raise failure
            time.sleep(min(max(wait or 0.0, self._patience.wait * 2 ** (number - 1)), _LONGEST_WAIT))
        raise AssertionError  # at least one try returned or raised

    @contextlib.contextmanager
    def stream(self, path: str, query: Query | None = None) -> Iterator[Iterator[bytes]]:
        """Open a file and yield its bytes in parts; one that breaks off is `Unreachable`."""
        try:
            # Packed on the way, a file's length could not be compared with what was said of it.
            with self._client.stream("GET", path, params=query, headers={"accept-encoding": "identity"}) as answer:
                if answer.status_code >= 300:
                    raise self._failure(f"GET {path}", answer)
                yield self._parts(answer)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    def _parts(self, answer: httpx.Response) -> Iterator[bytes]:
        try:
            yield from answer.iter_bytes(CHUNK)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: httpx.HTTPError) -> Unreachable:
        return Unreachable(
            f"the tracker at {self.uri} does not answer",
            cause=str(error) or type(error).__name__,
            hint="check the address and that the server runs; then the same again",
        )

    def _failure(self, what: str, answer: httpx.Response) -> HeadwayError:
        status = answer.status_code
        said = _said(answer)
        if 300 <= status < 400:
            where = answer.headers.get("location", "?")
            return UsageError(
                f"{self.uri} leads on to {where}", hint="name the final address; a login is not sent to another one"
            )
        if status == 401:
            return LoginNeeded(f"the tracker at {self.uri} asks for a login", cause=said, hint=_LOGIN_HINT)
        kinds: dict[int, type[HeadwayError]] = {403: Refused, 404: NotFound}
        kind = kinds.get(status, Unreachable if status in _PASSING else UsageError if status < 500 else HeadwayError)
        return kind(f"the tracker at {self.uri} answered {status} to {what}", cause=said)


_LOGIN_HINT = "export MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, for the peer"


def checked_uri(uri: str) -> str:
    """Return a tracking URI without its last slash, if it is an http(s) address without a login in it.

    Raises:
        UsageError: it is none, or has a login, a query or a fragment.
    """
    try:
        url = httpx.URL(uri)
    except (httpx.InvalidURL, TypeError):
        url = httpx.URL("")
    if url.scheme not in ("http", "https") or not url.host or url.query or url.fragment:
        raise UsageError(f"{uri[:200]!r} is no address of a tracker", hint="http://HOST:PORT or https://HOST/PREFIX")
    if url.userinfo:
        raise UsageError("the tracker's address has a login in it", hint=_LOGIN_HINT)
    return uri.rstrip("/")


def parsed(content: bytes, kind: type[T], where: str) -> T:
    """Return an answer as a type; numbers may stand as texts, and NaN bare, as some routes of MLflow write it.

    Raises:
        HeadwayError: it is no JSON, or not of that shape.
    """
    try:
        return msgspec.json.decode(content or b"{}", type=kind, strict=False)
    except msgspec.ValidationError as error:
        raise _strange(where, str(error)) from None
    except msgspec.DecodeError:
        pass
    try:
        return msgspec.convert(json.loads(content), type=kind, strict=False)
    except (ValueError, RecursionError) as error:  # of msgspec too
        raise _strange(where, str(error)[:200]) from None


def _strange(where: str, cause: str) -> HeadwayError:
    return HeadwayError(
        f"what {where} answered is not MLflow's",
        cause=cause,
        hint="check that the address is the tracker itself, not a login page or another service",
    )


def _body(answer: httpx.Response) -> bytes:
    parts: list[bytes] = []
    size = 0
    for part in answer.iter_bytes(CHUNK):
        size += len(part)
        if size > MOST_BYTES:
            raise TooLarge(f"an answer of {answer.request.url} is over {MOST_BYTES} bytes")
        parts.append(part)
    return b"".join(parts)


def _said(answer: httpx.Response) -> str:
    """Return what the peer gave as its reason, short and on one line; it is a foreign text."""
    content = b""
    for part in answer.iter_bytes(4096):
        content += part
        if len(content) > 16_384:
            break
    try:
        failure = msgspec.json.decode(content, type=_Failure)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return ""
    text = f"{failure.error_code}: {failure.message}" if failure.message else failure.error_code
    return " ".join(each for each in text.split() if each.isprintable())[:500]


def _asked_wait(answer: httpx.Response) -> float:
    try:
        seconds = float(answer.headers.get("retry-after", "0"))
    except ValueError:
        return 0.0  # a date: the usual wait will do
    return seconds if math.isfinite(seconds) else 0.0

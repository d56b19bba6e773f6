"""The way out to a server that a project names: only where this server's owner lets it, bounded in what it costs."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import httpx

from headway.addresses import is_never_meant, is_public, look_up
from headway.errors import Refused

SECONDS = 20.0
MOST_BYTES = 32 << 20
_LOCKED = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowedHosts:
    """Where trackers may be: the hosts of the setting `tracker_hosts`, or any public https address."""

    listed: frozenset[str] = frozenset()  # HOST or HOST:PORT, in small letters

    @classmethod
    def read(cls, text: str) -> AllowedHosts:
        """Read the setting: names by commas."""
        return cls(listed=frozenset(name.strip().lower() for name in text.split(",") if name.strip()))

    def address(self, url: httpx.URL) -> str:
        """Return the address to connect to, looked up once.

        Raises:
            Refused: the host is not among the listed ones, or, where none are, is no public https server.
            Unreachable: there is no such host.
        """
        host, port = url.host.lower(), url.port or (443 if url.scheme == "https" else 80)
        is_listed = bool(self.listed & {host, f"{host}:{port}"} - {_LOCKED})
        if self.listed and not is_listed:
            raise Refused(
                f"{host} is not among the trackers that this server may ask",
                cause="the setting tracker_hosts does not list it",
                hint=f"its owner sets HEADWAY_TRACKER_HOSTS={host}",
            )
        if not is_listed and url.scheme != "https":
            raise Refused(
                f"{host} is asked over plain http, which nobody has allowed",
                hint=f"use https, or let the server's owner set HEADWAY_TRACKER_HOSTS={host}",
            )
        found = look_up(host, port)
        for each in found:
            if _is_forbidden(each, host=host, is_listed=is_listed):
                raise Refused(
                    f"{host} leads to {each}, which is not a public address",
                    hint=f"its owner sets HEADWAY_TRACKER_HOSTS={host}, if that is meant",
                )
        return found[0]


def _is_forbidden(text: str, *, host: str, is_listed: bool) -> bool:
    if is_listed:
        # A listed name must not be turned to a cloud's metadata; whoever lists that very number means it.
        return is_never_meant(text) and host.strip("[]") != text
    return not is_public(text)


class GuardedTransport(httpx.BaseTransport):
    """HTTP to allowed hosts only, with an end: so many seconds and bytes for everything that is sent through it.

    The address that was checked is the one that is connected to: a second look-up might lead elsewhere.
    """

    def __init__(self, allowed: AllowedHosts, *, seconds: float = SECONDS, most_bytes: int = MOST_BYTES) -> None:
        """Begin to count."""
        self._allowed = allowed
        self._inner = httpx.HTTPTransport(trust_env=False)
        self._until = time.monotonic() + seconds
        self._left = most_bytes
        # Time-outs are between two bytes: a peer that sends one now and then would keep us for ever.
        self._end = threading.Timer(seconds, self._inner.close)
        self._end.daemon = True
        self._end.start()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request, and count what comes back."""
        left = self._until - time.monotonic()
        if left <= 0:
            raise httpx.ReadTimeout("it took too long", request=request)
        name = request.url.host
        request.url = request.url.copy_with(host=self._allowed.address(request.url))
        request.headers["accept-encoding"] = "identity"  # what is packed cannot be bounded by its bytes
        timeouts = request.extensions.get("timeout", {})
        request.extensions = {
            **request.extensions,
            "sni_hostname": name,
            "timeout": {kind: min(left, value or left) for kind, value in timeouts.items()},
        }
        try:
            answer = self._inner.handle_request(request)
        except httpx.HTTPError:
            raise
        except Exception as error:
            raise httpx.ReadError(f"the connection was cut: {error}", request=request) from error
        if "content-encoding" in answer.headers and answer.headers["content-encoding"] != "identity":
            answer.close()
            raise httpx.ReadError("it packs its answer although it was asked not to", request=request)
        if not isinstance(answer.stream, httpx.SyncByteStream):
            raise TypeError(type(answer.stream).__name__)
        return httpx.Response(
            answer.status_code,
            headers=answer.headers,
            stream=_Counted(answer.stream, self),
            extensions=answer.extensions,
        )

    def close(self) -> None:
        """Let the connections go."""
        self._end.cancel()
        self._inner.close()

    def take(self, size: int) -> None:
        """Count bytes that came in.

        Raises:
            httpx.ReadError: they were too many, or came too late.
        """
        self._left -= size
        if self._left < 0:
            raise httpx.ReadError("it answers with more than was asked for")
        if time.monotonic() > self._until:
            raise httpx.ReadTimeout("it took too long")


class _Counted(httpx.SyncByteStream):
    def __init__(self, inner: httpx.SyncByteStream, guard: GuardedTransport) -> None:
        self._inner = inner
        self._guard = guard

    def __iter__(self) -> Iterator[bytes]:
        try:
            for part in self._inner:
                self._guard.take(len(part))
                yield part
        except httpx.HTTPError:
            raise
        except Exception as error:
            raise httpx.ReadError(f"the connection was cut: {error}") from error

    def close(self) -> None:
        self._inner.close()

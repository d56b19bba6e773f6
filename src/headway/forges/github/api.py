"""GitHub's REST API, spoken plainly: one request in, decoded data or one of our errors out."""

from __future__ import annotations

import email.utils
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import gidgethub
import httpx
from gidgethub import sansio

from headway.errors import Conflict, HeadwayError, NotFound, Refused, Throttled, Unreachable, UsageError
from headway.forges.github.known import Answer, KnownAnswers
from headway.logs import conceal, logger

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from headway.clock import Clock
    from headway.forges.github.tokens import Access

# The oldest version that has what we use and the newest that every GitHub Enterprise Server in support has.
API_VERSION = "2022-11-28"
AGENT = "headway"
TIMEOUT = httpx.Timeout(20.0, connect=10.0)
MOST_PAGES = 100


class GitHubApi:
    """Requests to one GitHub; safe between threads, repeats nothing by itself."""

    def __init__(self, base: str, clock: Clock, *, transport: httpx.BaseTransport | None = None) -> None:
        """Speak to `base`, https://api.github.com or https://HOST/api/v3; `transport` is for tests."""
        self.base = base.rstrip("/")
        self._clock = clock
        # No redirects to other hosts: our token would go with them. Renamed repositories answer 301 on the same host.
        self._http = httpx.Client(timeout=TIMEOUT, transport=transport, follow_redirects=False)
        self._known = KnownAnswers()

    def get(self, path: str, access: Access, **params: str | int) -> Answer:
        """Read; an answer that GitHub says has not changed costs nothing of the limit."""
        return self._call("GET", path, access, params=params)

    def pages(self, path: str, access: Access, **params: str | int) -> Iterator[Any]:
        """Yield the data of every page, 100 entries each."""
        answer = self.get(path, access, per_page=100, **params)
        yield answer.data
        for _ in range(MOST_PAGES):
            if answer.next is None:
                return
            if not answer.next.startswith(f"{self.base}/"):
                raise Refused(f"GitHub's next page lies at another place: {answer.next[:200]}")
            answer = self._call("GET", answer.next.removeprefix(self.base), access)
            yield answer.data

    def send(self, method: str, path: str, access: Access, body: object, *, is_content: bool = False) -> Answer:
        """Write; `is_content` counts against the limit of new comments and the like."""
        return self._call(method, path, access, body=body, is_content=is_content)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _call(
        self,
        method: str,
        path: str,
        access: Access,
        *,
        params: Mapping[str, str | int] | None = None,
        body: object = None,
        is_content: bool = False,
        hops: int = 0,
    ) -> Answer:
        wait = access.budget.ask(writes=method != "GET", is_content=is_content)
        if wait is not None:
            raise Throttled("GitHub's limit is near: the request waits", until=wait)
        headers = sansio.create_headers(AGENT, accept="application/vnd.github+json", **access.credentials())
        headers["x-github-api-version"] = API_VERSION
        key = (access.name, f"{path}?{sorted((params or {}).items())}")
        known = self._known.find(key) if method == "GET" else None
        if known is not None:
            headers["if-none-match"] = known.etag
        response = self._exchange(method, path, headers, params=params, body=body)
        if response.status_code == 304 and known is not None:
            access.budget.went_well()
            return known.read()
        if response.status_code in (301, 307, 308) and hops < 3:
            return self._call(
                method, self._moved(response), access, body=body, is_content=is_content, hops=hops + 1
            )  # a repository that was renamed
        answer = self._read(response, access)
        if method == "GET" and "etag" in response.headers:
            self._known.keep(key, response.headers["etag"], response.content, answer)
        return answer

    def _exchange(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        *,
        params: Mapping[str, str | int] | None,
        body: object,
    ) -> httpx.Response:
        started = time.monotonic()
        try:
            response = self._http.request(method, f"{self.base}{path}", headers=headers, params=params, json=body)
        except httpx.HTTPError as error:
            raise Unreachable(
                f"GitHub does not answer at {self.base}", cause=f"{type(error).__name__}: {error}"[:300]
            ) from None
        took = round((time.monotonic() - started) * 1000)
        logger().debug("github", method=method, path=path.partition("?")[0], status=response.status_code, ms=took)
        return response

    def _moved(self, response: httpx.Response) -> str:
        place = str(response.headers.get("location", ""))
        if not place.startswith(f"{self.base}/"):
            raise Refused(f"GitHub sends us to another place: {place[:200]!r}", hint="check HEADWAY_GITHUB_API")
        return place.removeprefix(self.base)

    def _read(self, response: httpx.Response, access: Access) -> Answer:
        try:
            data, _limit, following = sansio.decipher_response(response.status_code, response.headers, response.content)
        except gidgethub.GitHubException as error:
            raise self._error(error, response, access) from None
        except (ValueError, KeyError, TypeError) as error:
            raise Unreachable("GitHub's answer cannot be read", cause=str(error)[:300]) from None
        access.budget.went_well()
        return Answer(data=data, next=following, status=response.status_code, headers=response.headers)

    def _error(self, error: Exception, response: httpx.Response, access: Access) -> HeadwayError:
        status, said = response.status_code, _said(response)
        what = f"{response.request.method} {response.request.url.path}"
        if status == 429 or (status == 403 and _is_limit(response, said)):
            until = access.budget.be_silent(_come_back(response, self._clock.now()))
            return Throttled("GitHub asks us to wait", until=until, cause=f"{what}: {said or status}")
        if status == 401:
            access.forget()
        if status >= 500:
            return Unreachable(f"GitHub answers {status}", cause=f"{what}: {said}")
        known = {
            401: Refused("GitHub does not take our credentials", cause=said, hint="headway doctor says which"),
            403: Refused(f"GitHub does not allow us {what}", cause=said, hint=_permission(response)),
            404: NotFound(f"GitHub has no {response.request.url.path}", cause=said, hint=_MAY_NOT_SEE),
            409: Conflict(f"GitHub answers that {what} is in conflict", cause=said),
            410: NotFound(f"GitHub has no {response.request.url.path} any more", cause=said),
        }
        return known.get(status) or UsageError(f"GitHub does not understand {what}", cause=said or str(error))


_MAY_NOT_SEE = "it may be there and hidden from us: is the App installed on this repository?"


def _said(response: httpx.Response) -> str:
    try:
        found = response.json()
    except ValueError:
        return ""
    if not isinstance(found, dict):
        return ""
    errors = found.get("errors")
    # Whatever an answer repeats of what we sent: it is kept beside what failed.
    return conceal(f"{found.get('message', '')}{f': {errors}' if errors else ''}")[:500]


def _is_limit(response: httpx.Response, said: str) -> bool:
    is_spent = response.headers.get("x-ratelimit-remaining") == "0"
    return is_spent or "retry-after" in response.headers or "secondary rate limit" in said.lower()


def _come_back(response: httpx.Response, now: datetime) -> datetime | None:
    """Return when GitHub says that it may be asked again; None where it does not say."""
    after = response.headers.get("retry-after", "")
    if after.isdigit():
        return now + timedelta(seconds=int(after))
    if after:
        try:
            return email.utils.parsedate_to_datetime(after)
        except ValueError:
            return None
    reset = response.headers.get("x-ratelimit-reset", "")
    if response.headers.get("x-ratelimit-remaining") == "0" and reset.isdigit():
        return datetime.fromtimestamp(int(reset), UTC)
    return None


def _permission(response: httpx.Response) -> str:
    wanted = response.headers.get("x-accepted-github-permissions", "")
    return f"give the App {wanted}" if wanted else "headway doctor says which permission is missing"

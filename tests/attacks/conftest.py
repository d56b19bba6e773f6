"""One server for all attacks of a file; after each file, what must not have happened."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from attacks.site import Answer, Site


@pytest.fixture(scope="module")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("attacked") / "site")
    yield made
    made.close()


@pytest.fixture(scope="module")
def site(_server: Site) -> Iterator[Site]:
    """The server; nothing may have left its data directory when the file's attacks are through."""
    yield _server
    assert _server.escaped() == []


class Record:
    """What a test says of its cases: a line of the table each."""

    def __init__(self, record_property: Callable[[str, object], None]) -> None:
        self._record = record_property
        self.bad: list[str] = []

    def __call__(self, advisory: str, shown: str, answer: Answer | int, *wanted: int, only: bool = True) -> None:
        """Note one case; refused is one of the wanted statuses, and what else must be true."""
        status = answer.status if isinstance(answer, Answer) else answer
        is_refused = status in wanted and only
        plain = shown[:200].encode("ascii", "backslashreplace").decode()  # half a surrogate pair reaches no controller
        self._record("attack", [advisory, plain, status, is_refused])
        if not is_refused:
            self.bad.append(f"{advisory}: {shown[:300]!a} {answer!a:.600}")


@pytest.fixture
def told(record_property: Callable[[str, object], None]) -> Iterator[Record]:
    """Take the cases of one test, and fail where one was not refused."""
    made = Record(record_property)
    yield made
    assert made.bad == []

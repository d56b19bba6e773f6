"""One writer: requests that wait together are committed together, and answered after the commit."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from concurrent.futures import Future, InvalidStateError
from typing import TYPE_CHECKING, Any, TypeVar

from headway.errors import Conflict, HeadwayError, StorageFull, Unreachable
from headway.logs import logger
from headway.tracking.link import stored_error
from headway.tracking.store import Memory, RunStore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headway.db.connection import Database, Lane

T = TypeVar("T")
_MOST = 256  # requests in one commit
# A server that was killed is gone from PostgreSQL once it notices, which takes a moment.
_PATIENCE = 10.0
_BETWEEN = 0.1

# What a request came to: (True, its answer) or (False, its error).
Outcome = tuple[bool, Any]


class Writer:
    """A thread with one connection; everything that the light process writes to tracking goes through it."""

    def __init__(self, database: Database, *, on_replaced: Callable[[], None] | None = None) -> None:
        """Take the database; `start` begins.

        `on_replaced` is called when another server took over a PostgreSQL database while our connection was broken.
        """
        self._database = database
        self._on_replaced = on_replaced
        self._had_it = False  # whether the database was ours once
        self._memory = Memory.empty()
        self._lane: Lane | None = None
        self._waiting: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Make the default experiment and begin to take requests.

        Raises:
            Conflict: another server writes to this database.
        """
        self._thread = threading.Thread(target=self._loop, name="tracking-writer", daemon=True)
        self._thread.start()
        try:
            self.call(lambda store: store.experiments.ensure_default())
        except HeadwayError:
            self.stop()
            raise

    def stop(self) -> None:
        """Write what is queued, then end."""
        if self._thread is not None:
            thread, self._thread = self._thread, None
            self._waiting.put(None)
            thread.join(60)

    async def run(self, request: Callable[[RunStore], T]) -> T:
        """Apply a request in the writer's transaction and return its answer, once it is durable.

        Raises:
            HeadwayError: the request's own; `StorageFull` and `Unreachable` when the database did not take it.
        """
        if self._thread is None:
            raise _stopped()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        self._waiting.put(_Request(request, answer, loop))
        return await answer

    def call(self, request: Callable[[RunStore], T]) -> T:
        """Do the same for a caller that may block."""
        return self.submit(request).result()

    def submit(self, request: Callable[[RunStore], T]) -> Future[T]:
        """Queue a request; the future is done once it is durable."""
        if self._thread is None:
            raise _stopped()
        answer: Future[T] = Future()
        self._waiting.put(_Request(request, answer, None))
        return answer

    def _loop(self) -> None:
        is_open = True
        while is_open:
            group, is_open = self._next_group()
            if group:
                outcomes = self._applied([request.apply for request in group])
                _tell(group, outcomes)
        late: list[_Request] = []
        while not self._waiting.empty():  # came while it stopped
            request = self._waiting.get()
            late += [] if request is None else [request]
        _tell(late, [(False, _stopped())] * len(late))
        self._disconnect()

    def _next_group(self) -> tuple[list[_Request], bool]:
        group: list[_Request] = []
        waiting = self._waiting.get()
        while waiting is not None:
            group.append(waiting)
            if len(group) >= _MOST:
                return group, True
            try:
                waiting = self._waiting.get_nowait()
            except queue.Empty:
                return group, True
        return group, False

    def _applied(self, requests: Sequence[Callable[[RunStore], Any]]) -> list[Outcome]:
        try:
            return apply(self._lane or self._connect(), self._memory, requests)
        except Exception as error:  # noqa: BLE001  # whatever it was, the callers must hear of it and the thread must live
            self._memory.forget()
            self._disconnect()
            told = error if isinstance(error, HeadwayError) else _told(error)
            logger().error("group_failed", error=repr(error), requests=len(requests))
            return [(False, told)] * len(requests)

    def _connect(self) -> Lane:
        self._lane = lane = self._database.lane(is_writer=True)
        until = time.monotonic() + _PATIENCE
        while holder := lane.claim():
            if time.monotonic() > until:
                raise self._refused(holder)
            time.sleep(_BETWEEN)
        self._had_it = True
        return lane

    def _refused(self, holder: str) -> HeadwayError:
        message = "another server writes to this database"
        if not self._had_it:
            return Conflict(
                message,
                cause=f"it is {holder}",
                hint="one server for a database: stop the other one, or name another database in HEADWAY_DATABASE",
            )
        logger().error("replaced", holder=holder)
        if self._on_replaced is not None:
            self._on_replaced()
        return Unreachable(f"{message}: nothing was saved", cause=f"it took over while ours was away: {holder}")

    def _disconnect(self) -> None:
        if self._lane is not None:
            self._lane.discard()
            self._lane = None


class _Request:
    __slots__ = ("answer", "apply", "loop")

    def __init__(self, apply_: Callable[[RunStore], Any], answer: Any, loop: asyncio.AbstractEventLoop | None) -> None:
        self.apply = apply_
        self.answer = answer
        self.loop = loop


def apply(lane: Lane, memory: Memory, requests: Sequence[Callable[[RunStore], Any]]) -> list[Outcome]:
    """Apply requests in one transaction, each in a savepoint of its own, and commit.

    A request that fails fails alone. An error of the commit, or a disk that is full, is raised: then nothing is kept,
    and the lane must be discarded.
    """
    lane.begin()
    store = RunStore(lane.connection, memory=memory)
    if len(requests) == 1:  # nobody to protect from it
        outcomes = [_outcome(store, requests[0])]
        if not outcomes[0][0]:
            lane.rollback()
            memory.forget()
            return outcomes
    else:
        outcomes = [_in_savepoint(store, request) for request in requests]
    lane.commit()
    memory.settle()
    return outcomes


def _in_savepoint(store: RunStore, request: Callable[[RunStore], Any]) -> Outcome:
    mark = store.memory.keys.mark()
    store.link.run("savepoint request")
    outcome = _outcome(store, request)
    if not outcome[0]:
        if isinstance(outcome[1], (StorageFull, Unreachable)):
            raise outcome[1]  # the database refuses: it may have dropped the whole transaction
        store.link.run("rollback to savepoint request")
        store.memory.forget(mark)
    store.link.run("release savepoint request")
    return outcome


def _outcome(store: RunStore, request: Callable[[RunStore], Any]) -> Outcome:
    try:
        return True, request(store)
    except HeadwayError as error:
        return False, error
    except Exception as error:  # noqa: BLE001  # one caller's mistake must not reach the others
        logger().error("request_failed", error=repr(error))
        return False, error


def _told(error: Exception) -> Exception:
    return stored_error(error) or error


def _tell(group: Sequence[_Request], outcomes: Sequence[Outcome]) -> None:
    loops: dict[asyncio.AbstractEventLoop, list[tuple[Any, Outcome]]] = {}
    for request, outcome in zip(group, outcomes, strict=True):
        if request.loop is not None:
            loops.setdefault(request.loop, []).append((request.answer, outcome))
        else:
            with contextlib.suppress(InvalidStateError):  # its caller gave up
                _settle(request.answer, outcome)
    for loop, answers in loops.items():
        try:
            loop.call_soon_threadsafe(_resolve, answers)
        except RuntimeError:  # the loop has closed: nobody waits any more
            continue


def _resolve(answers: list[tuple[Any, Outcome]]) -> None:
    for answer, outcome in answers:
        if not answer.done():  # else its caller has gone
            _settle(answer, outcome)


def _settle(answer: Any, outcome: Outcome) -> None:
    is_good, value = outcome
    if is_good:
        answer.set_result(value)
    else:
        answer.set_exception(value)


def _stopped() -> Unreachable:
    return Unreachable("the server is stopping: nothing was saved", hint="try again in a moment")

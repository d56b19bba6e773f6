"""An engine in memory that does what a test has written down for each task and attempt."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from headway.engines.base import Alive, AttemptSpec, Exited, Isolation, LogLine, Lost, Observation, Starting
from headway.errors import Refused


@dataclass(frozen=True, kw_only=True)
class Script:
    """What becomes of one attempt: how often it is seen starting and alive, and how it ends."""

    exit_code: int = 0
    reason: str = ""
    lost: str = ""  # why it is Lost instead of ended
    hangs: bool = False  # alive until stopped, or until its timeout if it has one
    starting: int = 0  # observations before it is seen alive
    alive: int = 1  # observations as alive
    draining: int = 0  # and then as draining
    undelivered: int = 0
    lines: tuple[str, ...] = ()
    writes: dict[str, bytes] = field(default_factory=dict)  # path in the attempt's folder -> content, at the end
    does: Callable[[AttemptSpec], None] | None = None  # called once when the code would begin


@dataclass
class _Attempt:
    spec: AttemptSpec
    script: Script
    looks: int = 0
    stopped: bool = False
    began: bool = False
    started_at: float = field(default_factory=time.time)
    end: Exited | Lost | None = None


class FakeEngine:
    """Passes the same contract suite as the real ones.

    `script("train", attempt=1, lost="power cut")` loses the first attempt of `train`; without a script an
    attempt is alive once and then ends with 0. `started` lists the specs whose code ran, in order.
    """

    def __init__(self, *, isolation: Isolation = Isolation.L2) -> None:
        self.isolation = isolation
        self.started: list[AttemptSpec] = []
        self.stopped: list[str] = []
        self.down: Exception | None = None  # raised by every `start` while set
        self._scripts: dict[tuple[str, int | None], Script] = {}
        self._attempts: dict[str, _Attempt] = {}

    def script(self, task: str, attempt: int | None = None, **what: object) -> None:
        """Write down what becomes of a task's attempt (None: of every attempt without a script of its own)."""
        self._scripts[task, attempt] = replace(Script(), **what)

    def lose(self, task: str, attempt: int = 1) -> None:
        """Let an attempt vanish after it was seen alive."""
        self.script(task, attempt, lost="its supervisor ended without an exit record")

    def release(self, handle: str) -> None:
        """Let a hanging attempt end well."""
        found = self._attempts[handle]
        found.script = replace(found.script, hangs=False)

    def start(self, spec: AttemptSpec) -> str:
        if self.down:
            raise self.down
        if self.isolation < spec.minimum_isolation:
            raise Refused(
                f"this task needs isolation L{spec.minimum_isolation:d}, and this machine gives L{self.isolation:d}",
                hint="install bubblewrap",
            )
        if spec.id not in self._attempts:
            script = self._scripts.get((spec.task, spec.number)) or self._scripts.get((spec.task, None)) or Script()
            self._attempts[spec.id] = _Attempt(spec, script)
            self.started.append(spec)
        return spec.id

    def observe(self, handle: str) -> Observation:
        found = self._attempts.get(handle)
        if found is None:
            return Lost(why=f"this engine knows no attempt {handle!r}")
        if found.end is None:
            found.looks += 1
            if found.looks <= found.script.starting and not found.stopped:
                return Starting()
            self._begin(found)
            found.end = self._end_of(found)
        if found.end is not None:
            return found.end
        past = found.looks - found.script.starting - found.script.alive
        return Alive(isolation=self.isolation, draining=past > 0 and not found.script.hangs)

    def logs(self, handle: str, offset: int = 0) -> Iterator[LogLine]:
        found = self._attempts.get(handle)
        position = 0
        for line in found.script.lines if found and found.began else ():
            position += len(line.encode()) + 1
            if position > offset:
                yield LogLine(text=line, next_offset=position)

    def stop(self, handle: str) -> None:
        self.stopped.append(handle)
        if handle in self._attempts:
            self._attempts[handle].stopped = True

    def handles(self) -> Iterable[str]:
        return sorted(name for name, found in self._attempts.items() if Path(found.spec.directory).is_dir())

    def _begin(self, found: _Attempt) -> None:
        if not found.began:
            found.began = True
            if found.script.does:
                found.script.does(found.spec)

    def _end_of(self, found: _Attempt) -> Exited | Lost | None:
        script = found.script
        past = found.looks - script.starting - script.alive
        if found.stopped:
            return self._exit(found, 143, "cancelled")
        if script.hangs:
            return self._exit(found, 143, "timeout") if found.spec.timeout and past > 0 else None
        if past <= script.draining:
            return None
        if script.lost:
            return Lost(why=script.lost)
        for name, content in script.writes.items():
            path = Path(found.spec.directory) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return self._exit(found, script.exit_code, script.reason)

    def _exit(self, found: _Attempt, exit_code: int, reason: str) -> Exited:
        return Exited(
            exit_code=exit_code,
            reason=reason,
            isolation=self.isolation,
            started_at=found.started_at,
            finished_at=time.time(),
            undelivered=found.script.undelivered,
        )

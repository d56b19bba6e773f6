"""What every engine promises: one suite, run for each implementation."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from headway.engines.base import Alive, AttemptSpec, Engine, Exited, Isolation, Lost, Observation
from headway.errors import Refused

PATIENCE = 60.0

# task name -> what its code does; an implementation's test file says how
PROGRAMS = ("prints", "fails", "hangs", "counts")


def wait_for_end(engine: Engine, handle: str) -> Exited | Lost:
    """Look until the attempt has ended, as the job loop does."""
    return wait_for(engine, handle, lambda seen: isinstance(seen, Exited | Lost))


def wait_for(engine: Engine, handle: str, wanted: Any) -> Any:
    deadline = time.monotonic() + PATIENCE
    seen: Observation | None = None
    while time.monotonic() < deadline:
        seen = engine.observe(handle)
        if wanted(seen):
            return seen
        time.sleep(0.02)
    pytest.fail(f"the attempt never got there; last seen: {seen}")


class EngineContract:
    """Subclasses give `engine`, `spec`, `reopened` and `runs_of`."""

    @pytest.fixture
    def engine(self) -> Engine:
        raise NotImplementedError

    def spec(self, engine: Engine, program: str, **changes: Any) -> AttemptSpec:
        """A spec whose code prints `one` and `two`, fails with 3, hangs, or counts its runs; folder made."""
        raise NotImplementedError

    def reopened(self, engine: Engine) -> Engine:
        """The engine as a restarted server would have it."""
        raise NotImplementedError

    def runs_of(self, engine: Engine, spec: AttemptSpec) -> int:
        """How often the code of a `counts` attempt was run."""
        raise NotImplementedError

    def test_code_that_ends_well_is_seen_to(self, engine: Any) -> None:
        handle = engine.start(self.spec(engine, "prints"))
        end = wait_for_end(engine, handle)
        assert isinstance(end, Exited)
        assert (end.exit_code, end.reason, end.undelivered) == (0, "", 0)
        assert end.started_at <= end.finished_at

    def test_an_exit_code_arrives(self, engine: Any) -> None:
        end = wait_for_end(engine, engine.start(self.spec(engine, "fails")))
        assert isinstance(end, Exited)
        assert (end.exit_code, end.reason) == (3, "")

    def test_an_end_is_seen_again_and_again(self, engine: Any) -> None:
        handle = engine.start(self.spec(engine, "fails"))
        assert wait_for_end(engine, handle) == engine.observe(handle) == self.reopened(engine).observe(handle)

    def test_an_unknown_handle_is_lost(self, engine: Any) -> None:
        for handle in ("never-seen", "../etc", "a/b", ""):
            assert isinstance(engine.observe(handle), Lost)
            assert list(engine.logs(handle)) == []
            engine.stop(handle)

    def test_starting_again_runs_the_code_once(self, engine: Any) -> None:
        spec = self.spec(engine, "counts")
        handle = engine.start(spec)
        assert engine.start(spec) == handle
        assert self.reopened(engine).start(spec) == handle
        end = wait_for_end(engine, handle)
        assert engine.start(spec) == handle
        assert engine.observe(handle) == end
        assert self.runs_of(engine, spec) == 1

    def test_starting_from_many_threads_at_once_is_one_start(self, engine: Any) -> None:
        spec = self.spec(engine, "counts")
        for number in range(200):  # enough to take a while, wherever it is sent
            (Path(spec.directory) / "work" / f"file-{number}.txt").write_text("x" * 1000)
        with ThreadPoolExecutor(6) as pool:
            handles = set(pool.map(lambda _: engine.start(spec), range(6)))
        assert len(handles) == 1
        end = wait_for_end(engine, handles.pop())
        assert isinstance(end, Exited)
        assert end.exit_code == 0
        assert self.runs_of(engine, spec) == 1

    def test_logs_come_by_line_and_go_on_where_they_stopped(self, engine: Any) -> None:
        handle = engine.start(self.spec(engine, "prints"))
        wait_for_end(engine, handle)
        lines = list(engine.logs(handle))
        assert [line.text for line in lines] == ["one", "two"]
        assert [line.text for line in engine.logs(handle, lines[0].next_offset)] == ["two"]
        assert list(engine.logs(handle, lines[1].next_offset)) == []

    def test_stopping_ends_it_as_cancelled_and_may_be_repeated(self, engine: Any) -> None:
        handle = engine.start(self.spec(engine, "hangs"))
        wait_for(engine, handle, lambda seen: isinstance(seen, Alive))
        engine.stop(handle)
        engine.stop(handle)
        end = wait_for_end(engine, handle)
        assert isinstance(end, Exited)
        assert end.reason == "cancelled"
        assert end.exit_code != 0

    def test_stopping_what_has_ended_changes_nothing(self, engine: Any) -> None:
        handle = engine.start(self.spec(engine, "prints"))
        end = wait_for_end(engine, handle)
        engine.stop(handle)
        assert engine.observe(handle) == end

    def test_a_stop_reaches_it_through_another_engine_object(self, engine: Any) -> None:
        handle = engine.start(self.spec(engine, "hangs"))
        self.reopened(engine).stop(handle)
        end = wait_for_end(engine, handle)
        assert isinstance(end, Exited)
        assert end.reason == "cancelled"

    def test_a_timeout_ends_it(self, engine: Any) -> None:
        spec = self.spec(engine, "hangs", timeout=timedelta(seconds=0.5), grace=timedelta(seconds=5))
        end = wait_for_end(engine, engine.start(spec))
        assert isinstance(end, Exited)
        assert end.reason == "timeout"

    def test_too_little_isolation_is_refused_and_leaves_nothing_behind(self, engine: Any) -> None:
        spec = self.spec(engine, "counts", minimum_isolation=Isolation.L3)
        with pytest.raises(Refused, match="L3") as refusal:
            engine.start(spec)
        assert refusal.value.hint
        assert spec.id not in engine.handles()
        assert isinstance(engine.observe(spec.id), Lost)

    def test_handles_stay_until_the_folder_goes(self, engine: Any) -> None:
        spec, other = self.spec(engine, "prints"), self.spec(engine, "fails")
        handles = [engine.start(spec), engine.start(other)]
        for handle in handles:
            wait_for_end(engine, handle)
        assert sorted(engine.handles()) == sorted(self.reopened(engine).handles()) == sorted(handles)
        remove_folder(Path(spec.directory))
        assert list(engine.handles()) == [handles[1]]

    def test_two_attempts_of_a_task_are_two_things(self, engine: Any) -> None:
        first, second = self.spec(engine, "fails", number=1), self.spec(engine, "fails", number=2)
        assert engine.start(first) != engine.start(second)

    def test_the_isolation_is_told(self, engine: Any) -> None:
        handle = engine.start(self.spec(engine, "prints"))
        end = wait_for_end(engine, handle)
        assert isinstance(end, Exited)
        assert isinstance(end.isolation, Isolation)


def remove_folder(folder: Path) -> None:
    """Remove an ended attempt's folder; whoever brought its end may be putting the last things in order."""
    deadline = time.monotonic() + PATIENCE
    while folder.exists():
        try:
            for path in sorted(folder.rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
            folder.rmdir()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)

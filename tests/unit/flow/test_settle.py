"""What cannot be judged, collected or read ends as such; nothing is tried for ever and nothing passes by it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import update

from headway.commands.model import Verb
from headway.db import schema
from headway.engines.base import LogLine
from headway.errors import Unreachable, UsageError
from headway.flow import checkup, joblogs, settle
from headway.flow.cleaning import IN_THE_MAKING, clean_up
from headway.flow.plan_text import plan_text
from headway.flow.results import JobResults
from headway.flow.train import plans_for
from headway.jobs.model import Job
from headway.jobs.store import JobStore

if TYPE_CHECKING:
    from fakes.story import Story


def _ended_unsettled(story: Story) -> Job:
    job = story.queued(story.change())
    now = story.clock.now()
    with story.app.database.write() as tx:
        tx.execute(update(schema.task).values(state="succeeded"))
        tx.execute(update(schema.job).values(state="succeeded", started_at=now, finished_at=now))
    return job


def _settled_at(story: Story, job: Job) -> Any:
    with story.app.database.read() as tx:
        return JobStore(tx).get(job.id).settled_at


def test_a_defect_while_judging_is_told_and_passes_nothing(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    job = _ended_unsettled(story)

    def broken(*_: Any) -> None:
        raise KeyError("evidence")

    monkeypatch.setattr(settle, "gather", broken)
    settle.settle(story.app, job.id)
    assert _settled_at(story, job) is not None
    with story.app.database.read() as tx:
        result = JobResults(tx).get(job.id)
    assert result is not None
    assert result.verdict is None
    assert result.crash is not None
    assert "could not be judged" in result.crash.reason


def test_what_comes_back_is_waited_for(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    job = _ended_unsettled(story)

    def away(*_: Any) -> None:
        raise Unreachable("the database does not answer")

    with monkeypatch.context() as patched:
        patched.setattr(settle, "gather", away)
        with pytest.raises(Unreachable):
            settle.settle(story.app, job.id)
    assert _settled_at(story, job) is None
    settle.settle(story.app, job.id)
    assert _settled_at(story, job) is not None


def test_cleaning_takes_nothing_that_is_in_the_making(story: Story) -> None:
    old = (story.clock.now() - IN_THE_MAKING - timedelta(minutes=1)).timestamp()
    made: dict[str, Path] = {}
    for place in ("attempts", "builds"):
        for age in ("old", "young"):
            folder = story.app.data / place / age
            folder.mkdir(parents=True)
            (folder / "file").write_text("12345")
            made[f"{place}-{age}"] = folder
            if age == "old":
                os.utime(folder, (old, old))
    outside = story.app.data / "kept"
    outside.write_text("kept")
    link = story.app.data / "builds" / "link"
    link.symlink_to(outside)
    os.utime(link, (old, old), follow_symlinks=False)
    cleaned = clean_up(story.app)
    assert cleaned.attempts == 5
    assert {name for name, folder in made.items() if folder.exists()} == {"attempts-young", "builds-young"}
    assert outside.read_text() == "kept"


def test_a_program_that_hangs_does_not_hang_the_doctor(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(argv: list[str], **_: Any) -> None:
        raise checkup.subprocess.TimeoutExpired(argv, 10)

    monkeypatch.setattr(checkup.subprocess, "run", hang)
    assert checkup._first_line(["nvidia-smi", "-L"]) == "nvidia-smi does not answer: TimeoutExpired"


def test_a_full_page_of_an_ended_job_is_not_the_last(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    job = story.ended(story.change())
    with story.app.database.write() as tx:
        (task,) = JobStore(tx).tasks(job.id)
        tx.execute(
            schema.attempt.insert().values(
                id="A1", task_id=task.id, number=1, fence=1, engine="local", handle="h", nonce="n", state="succeeded",
                isolation=2, exit_code=0, reason="", directory="/nowhere", spec={},
            )
        )  # fmt: skip

    def spoken(_app: Any, _attempt: Any, offset: int) -> Iterator[LogLine]:
        for index in range(offset // 10, 5):
            yield LogLine(text=f"line {index}", next_offset=index * 10 + 10)

    monkeypatch.setattr(joblogs, "_after", spoken)
    pages, cursor = [], ""
    for _ in range(2):
        page = joblogs.read_logs(story.app, job, task=None, cursor=cursor, limit=3)
        pages.append((len(page.lines), page.is_final))
        cursor = page.next
    assert pages == [(3, False), (2, True)]
    with story.app.database.read() as tx:
        attempt = JobStore(tx).attempts([task.id])[0]
    assert joblogs.tail(story.app, attempt, 2) == ("line 3", "line 4")


@pytest.mark.parametrize("cursor", ["a:²", "a:-1", "a", ":", "a:1:2", "a:" + "9" * 40, "a:1;b:2"])
def test_a_cursor_that_is_none_is_refused(cursor: str) -> None:
    with pytest.raises(UsageError, match="is no cursor"):
        joblogs._places(cursor)


def test_a_cursor_says_where_each_attempt_was_read_to() -> None:
    assert joblogs._places("") == {}
    places = joblogs._places("a:12,b:340")
    assert places == {"a": 12, "b": 340}
    assert joblogs._cursor(places) == "a:12,b:340"


def test_a_plan_in_words_starts_nothing_and_breaks_no_table(story: Story) -> None:
    evil = "a|b\n<script>\n| x | @everyone"
    (planned,) = plans_for(story.app, story.command(Verb.PLAN, story.change()))
    text = plan_text(planned.plan, (evil,))
    assert "**flights**" in text
    assert "1 of 1 steps run" in text
    assert "<script>" not in text
    assert all(line.count("|") == 6 for line in text.splitlines() if line.startswith("|") and "main" in line)
    assert not any(line.startswith("| x") for line in text.splitlines())

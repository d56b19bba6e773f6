"""Which happening is told to whom, by the words of headway.yaml; the sending itself needs a public address."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from headway.flow import notify
from headway.flow.model import JobResult
from headway.gates.model import Outcome, Verdict
from headway.reports.model import CrashView

AT = datetime(2026, 11, 26, tzinfo=UTC)
RESULT = JobResult(
    job_id="j", number=1, repo_id="r", project="p", branch="main", commit="a" * 40, tree="b" * 40, tier=2, at=AT
)
CRASH = CrashView(task="train", exit_code=1, reason="exit code 1", attempt=1, attempts=1, seconds=1.0, tail=())


@pytest.mark.parametrize(
    ("result", "told"),
    [
        (RESULT, {"finished"}),
        (replace(RESULT, crash=CRASH), {"finished", "crashed"}),
        (replace(RESULT, verdict=Verdict(outcome=Outcome.PASS, checks=())), {"finished", "gate_passed"}),
        (replace(RESULT, verdict=Verdict(outcome=Outcome.WARN, checks=())), {"finished", "gate_passed"}),
        (replace(RESULT, verdict=Verdict(outcome=Outcome.FAIL, checks=())), {"finished", "gate_failed"}),
        (replace(RESULT, verdict=Verdict(outcome=Outcome.CANNOT_TELL, checks=())), {"finished", "gate_failed"}),
    ],
)
def test_an_ended_job_is_told_in_the_words_of_the_file(result, told):
    assert notify._events(result) == told

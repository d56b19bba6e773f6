from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from headway.gates.model import Outcome, Verdict
from headway.projects.model import MetricSpec
from headway.reports.model import MetricRow, ReportState, ReportView
from headway.reports.render import render
from headway.tracking.outside import Outside, OutsideRun

AT = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
EVIL = "<img src=x onerror=alert(1)>`|@everyone [a](javascript:b)\x1b[31m\u202e"
RUN = OutsideRun(
    run_id="r1",
    name="notebook",
    status="FINISHED",
    user="maria",
    start_time=1,
    end_time=2,
    url="https://mlflow.example/#/experiments/1/runs/r1",
    tag="headway.commit",
    metrics={"auc": 0.9, "other": 1.0},
)
OUTSIDE = Outside(
    host="mlflow.example", uri="https://mlflow.example", is_judged=True, runs=(RUN,), answered_at=AT, taken=("auc",)
)
VIEW = ReportView(
    project="flights",
    state=ReportState.PASSED,
    number=3,
    url="https://headway.example/jobs/3",
    commit="a" * 40,
    actor="mlflow.example",
    command="/train",
    metrics=(MetricSpec(name="auc", primary=True),),
    rows=(MetricRow(name="auc", candidate=0.9, baseline=None),),
    verdict=Verdict(outcome=Outcome.PASS, checks=(), notes=OUTSIDE.notes),
    outside=OUTSIDE,
)


def test_a_reader_sees_where_a_number_is_from_and_can_go_there() -> None:
    body = render(VIEW, secrets=()).body
    assert "(https://mlflow.example/#/experiments/1/runs/r1)" in body
    assert "external" in body
    assert "for auc" in body
    assert "tagged with the commit" in body
    assert "Headway has not seen it trained" in body


def test_last_known_values_stand_with_their_date_and_the_cause() -> None:
    away = replace(OUTSIDE, away_since=AT.replace(hour=14), cause="connection refused", taken=())
    body = render(replace(VIEW, outside=away), secrets=()).body
    assert "as of 2026-03-01 12:30 UTC" in body
    assert "cannot be reached since 2026-03-01 14:30 UTC: connection refused" in body
    assert (away.usable, bool(away.unknown)) == ({}, True)


@pytest.mark.parametrize("outside", [None, replace(OUTSIDE, runs=(), taken=())])
def test_nothing_to_say_says_nothing(outside: Outside | None) -> None:
    quiet = replace(VIEW, outside=outside, verdict=Verdict(outcome=Outcome.PASS, checks=()))
    assert "mlflow.example" not in render(replace(quiet, actor="ada"), secrets=()).body


def test_foreign_texts_stay_texts_and_secrets_stay_secret() -> None:
    run = replace(RUN, name=EVIL, user=f"{EVIL} hunter2", status=EVIL[:16], metrics={EVIL: 0.5, "auc": 0.9})
    view = replace(VIEW, outside=replace(OUTSIDE, runs=(run, replace(RUN, run_id="r2")), cause=EVIL, away_since=AT))
    body = render(view, secrets=("hunter2",)).body
    for trace in ("<img", "[a](javascript:", "\x1b", "\u202e", "@everyone", "hunter2"):
        assert trace not in body


def test_runs_that_are_shown_only_are_never_judged() -> None:
    shown = replace(OUTSIDE, is_judged=False).taking(())
    assert (shown.usable, shown.taken, shown.notes) == ({}, (), ())
    assert "shown only" in render(replace(VIEW, outside=shown), secrets=()).body
    assert replace(shown, away_since=AT).unknown == ""

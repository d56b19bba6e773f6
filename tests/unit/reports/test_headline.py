import dataclasses

import pytest

from golden.report_views import BASE, GOOD, RELEASE, VIEWS
from headway.gates.model import Check, CheckState, Outcome, Verdict
from headway.projects.model import Severity
from headway.reports.model import MetricRow, ReportState, ReportView
from headway.reports.render import render
from headway.serving.model import ReleaseState


def _headline(name: str = "passed", **changes: object) -> str:
    view: ReportView = dataclasses.replace(VIEWS[name], **changes)  # type: ignore[arg-type]  # fields of the record
    return render(view).headline


@pytest.mark.parametrize(
    ("position", "words"),
    [(None, "waiting to start"), (0, "waiting to start"), (1, "waiting, next in the queue"), (4, "number 4 in")],
)
def test_the_place_in_the_queue(position: int | None, words: str) -> None:
    assert words in _headline("queued", queue_position=position)


def test_a_job_of_which_no_step_ran_says_why() -> None:
    words = _headline("crashed", crash=None, reason="this server has no cluster")
    assert words.endswith("failed and made no model: this server has no cluster")


def _missing(severity: Severity) -> Check:
    return Check(
        id="x",
        metric="val_auc",
        state=CheckState.MISSING,
        severity=severity,
        limit="≥ 0.85",
        message="this change has no metric val_auc",
    )


def test_warnings_are_counted_and_do_not_block() -> None:
    verdict = Verdict(outcome=Outcome.WARN, checks=(*GOOD, _missing(Severity.WARN)))
    assert "ready to merge, 1 warning. val_auc 0.874" in _headline(verdict=verdict)


def test_missing_evidence_says_so() -> None:
    verdict = Verdict(outcome=Outcome.FAIL, checks=(_missing(Severity.FAIL),))
    words = _headline("failed", verdict=verdict)
    assert words.endswith("The only gate failed: val_auc has no evidence, this change has no metric val_auc")


@pytest.mark.parametrize(
    ("rows", "end"),
    [
        ((), "ready to merge"),
        ((MetricRow(name="val_auc", candidate=None, baseline=0.8),), "ready to merge"),
        ((MetricRow(name="val_auc", candidate=0.8, baseline=0.8),), "0.800, unchanged against production (v7)"),
        ((MetricRow(name="val_auc", candidate=0.79, baseline=0.8),), "0.790, −0.010 against production (v7)"),
        ((MetricRow(name="val_logloss", candidate=0.5, baseline=0.4),), "0.500, +0.100 against production (v7)"),
    ],
)
def test_the_primary_metric_against_the_baseline(rows: tuple[MetricRow, ...], end: str) -> None:
    assert _headline(rows=rows).endswith(end)


@pytest.mark.parametrize(
    ("state", "changes", "words"),
    [
        (ReleaseState.PENDING, {}, "🚀 churn v8 is about to be released"),
        (ReleaseState.STAGING, {}, "🚀 churn v8 is being tested in staging"),
        (ReleaseState.LOADING, {}, "🚀 churn v8 loads beside the version that serves production"),
        (ReleaseState.CANARY, {"stages": RELEASE.stages[:2]}, "🚀 churn v8 is a canary at 10 % of production"),
        (ReleaseState.CANARY, {"stages": ()}, "🚀 churn v8 is a canary at 0 % of production"),
        (ReleaseState.PROMOTED, {"stages": (), "finished_at": None}, "🚀 churn v8 serves 100 % of production"),
        (ReleaseState.ROLLING_BACK, {"reason": "errors"}, "⏪ churn v8 is being rolled back: errors"),
        (ReleaseState.ROLLED_BACK, {"previous": None}, "rolled back, nothing serves in its place at 16:45 UTC"),
        (ReleaseState.REFUSED, {"previous": None}, "❌ churn v8 was refused. Nothing serves production"),
    ],
)
def test_a_release_in_words(state: ReleaseState, changes: dict[str, object], words: str) -> None:
    release = dataclasses.replace(RELEASE, state=state, **changes)  # type: ignore[arg-type]  # fields of the record
    back = state in (ReleaseState.ROLLING_BACK, ReleaseState.ROLLED_BACK)
    view = dataclasses.replace(BASE, state=ReportState.ROLLED_BACK if back else ReportState.DEPLOYED, release=release)
    report = render(view)
    assert words in report.headline
    assert report.passed == (state not in {ReleaseState.REFUSED, ReleaseState.ROLLING_BACK, ReleaseState.ROLLED_BACK})


def test_a_stage_under_way_has_an_hourglass_and_a_way_out() -> None:
    stage = dataclasses.replace(RELEASE.stages[0], result="")
    release = dataclasses.replace(RELEASE, state=ReleaseState.STAGING, stages=(stage,))
    body = render(dataclasses.replace(BASE, state=ReportState.DEPLOYED, release=release, names_project=True)).body
    assert "| ⏳ |" in body
    assert "Call it off: `/rollback --project churn`" in body

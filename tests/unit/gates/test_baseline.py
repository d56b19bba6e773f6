import pytest

from headway.gates.baseline import BaselineCandidate, BaselineKind, choose_baseline
from headway.gates.model import Evidence


def _candidate(kind: BaselineKind, label: str, **more: object) -> BaselineCandidate:
    return BaselineCandidate(kind=kind, evidence=Evidence(label=label), **more)  # type: ignore[arg-type]  # its fields


PRODUCTION = _candidate(BaselineKind.PRODUCTION, "production (v7)")
MAIN = _candidate(BaselineKind.MAIN, "main (run 12)")
RUN = _candidate(BaselineKind.RUN, "run 9", name="run:9")
MODEL = _candidate(BaselineKind.MODEL, "churn@champion", name="model:churn@champion")
ALL = (RUN, MODEL, MAIN, PRODUCTION)


@pytest.mark.parametrize(
    ("wanted", "candidates", "label"),
    [
        ("production", ALL, "production (v7)"),
        ("production", (MAIN,), "main (run 12)"),
        ("production", (), ""),
        ("main", ALL, "main (run 12)"),
        ("main", (PRODUCTION,), ""),  # production is never taken for main
        ("run:9", ALL, "run 9"),
        ("model:churn@champion", ALL, "churn@champion"),
    ],
)
def test_which_one(wanted: str, candidates: tuple[BaselineCandidate, ...], label: str) -> None:
    choice = choose_baseline(wanted, candidates)
    assert choice.label == label
    assert choice.evidence is None or not choice.evidence.problem


@pytest.mark.parametrize("wanted", ["run:10", "model:churn@other", "whatever"])
def test_a_named_one_that_is_gone_is_a_problem_and_never_another(wanted: str) -> None:
    choice = choose_baseline(wanted, ALL)
    assert choice.candidate is None
    assert choice.evidence is not None
    assert f"the baseline {wanted} does not exist" in choice.evidence.problem


def test_the_fallback_is_said() -> None:
    assert "nothing serves in production yet" in choose_baseline("production", (MAIN,)).notes[0]
    assert choose_baseline("production", ALL).notes == ()
    assert choose_baseline("main", (MAIN,)).notes == ()


def test_staleness_is_said() -> None:
    old = _candidate(BaselineKind.MAIN, "main", commits_behind=3, holdout_digest="a")
    notes = choose_baseline("main", (old,), holdout_digest="b").notes
    assert notes == (
        "the baseline is 3 commits behind the default branch",
        "the hold-out has changed since the baseline was judged",
    )
    one = _candidate(BaselineKind.MAIN, "main", commits_behind=1, holdout_digest="b")
    assert choose_baseline("main", (one,), holdout_digest="b").notes == (
        "the baseline is 1 commit behind the default branch",
    )

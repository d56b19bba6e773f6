from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fakes.databases import DATABASES, clean_database
from headway.db import schema
from headway.db.connection import Database
from headway.projects.model import TrackingSpec
from headway.tracking.mirror_store import PENDING, MirrorStore
from headway.tracking.outside import OutsideRun
from headway.tracking.outside_store import OutsideStore
from headway.tracking.watch_list import EVERY, MOST_AT_ONCE, WatchList

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
SPEC = TrackingSpec(uri="https://mlflow.example:8443", experiment="churn")
RUN = OutsideRun(
    run_id="r", name="n", status="FINISHED", user="", start_time=1, end_time=2, url="", tag="t", metrics={"auc": 0.9}
)


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with clean_database(request.param, tmp_path) as found:
        yield found


def test_what_somebody_waits_for_goes_first_and_needs_no_rest(database: Database) -> None:
    with database.write() as tx:
        watched, store = WatchList(tx), OutsideStore(tx)
        for index in range(MOST_AT_ONCE + 3):
            watched.watch("r", "p", f"{index:02d}", tracking=SPEC, change=index, branch="b")
        assert len(watched.to_ask("r", "p", AT)) == MOST_AT_ONCE
        store.failed(watched.to_ask("r", "p", AT), "away", AT)
        later = AT + timedelta(seconds=1)
        assert watched.due(later) == [], "it rests after a failure"
        watched.want("r", "p", "zz", tracking=SPEC, at=later)
        assert watched.due(later) == [("r", "p")]
        assert watched.to_ask("r", "p", later)[0].commit == "zz"


def test_an_outage_is_told_since_it_began_and_ends_with_an_answer(database: Database) -> None:
    with database.write() as tx:
        watched, store = WatchList(tx), OutsideStore(tx)
        watched.want("r", "p", "c", tracking=SPEC, at=AT)
        (look,) = watched.to_ask("r", "p", AT)
        store.answered(look, [RUN], AT)
        for seconds in (20, 40):
            store.failed([look], "refused", AT + timedelta(seconds=seconds))
        away = store.outside("r", "p", "c")
        assert away is not None
        assert (away.host, away.away_since, away.answered_at) == (
            "mlflow.example:8443",
            AT + timedelta(seconds=20),
            AT,
        )
        assert (away.runs, away.usable, "refused" in away.unknown) == ((RUN,), {}, True)
        store.answered(look, [RUN], AT + timedelta(seconds=60))
        back = store.outside("r", "p", "c")
        assert back is not None
        assert (back.away_since, back.usable, back.unknown) == (None, {"auc": 0.9}, "")
        assert [each.commit for each in store.lately(schema.tracker_look.c.repo_id == "r", limit=5)] == ["c"]


def test_a_want_that_failed_is_asked_again_until_it_is_answered(database: Database) -> None:
    with database.write() as tx:
        watched, store = WatchList(tx), OutsideStore(tx)
        watched.want("r", "p", "c", tracking=SPEC, at=AT)
        store.failed(watched.to_ask("r", "p", AT), "away", AT)
        again = AT + EVERY + timedelta(seconds=5)
        assert [each.commit for each in watched.to_ask("r", "p", again)] == ["c"]
        store.answered(watched.to_ask("r", "p", again)[0], [], again)
        assert watched.due(again + timedelta(hours=1)) == []


def test_what_is_over_is_left_alone(database: Database) -> None:
    with database.write() as tx:
        watched, store = WatchList(tx), OutsideStore(tx)
        watched.watch("r", "p", "old", tracking=SPEC, change=1)
        watched.watch("r", "p", "head", tracking=SPEC, change=1)
        watched.watch("r", "p", "main", tracking=SPEC)
        watched.leave("r", change=1, but="head")
        assert sorted(each.commit for each in store.live("r", "p")) == ["head", "main"]
        watched.leave_old("r", "p", keep=["newer"])
        assert [each.commit for each in store.live("r", "p")] == ["head"]
        watched.renamed("r", "p", None)
        assert store.live("r", "p") == []


def test_copies_are_wanted_once_and_keep_how_far_they_came(database: Database) -> None:
    with database.write() as tx:
        store = MirrorStore(tx)
        for _ in range(2):
            store.want(["a", "b"], job_id="j", repo_id="r", project="p", tracking=SPEC, at=AT)
        later = AT + timedelta(seconds=1)
        assert (store.due_projects(AT - EVERY), store.due_projects(later)) == ([], [("r", "p")])
        first, second = store.due("r", "p", later)
        assert (first.run_id, second.run_id) == ("a", "b")
        store.creating("a", later)
        assert (store.of_job("j")[0].remote_run_id, store.remote_of("a"), store.is_awaited("a")) == (PENDING, "", True)
        store.found("a", remote_run_id="x", remote_url="u", is_new=True)
        store.sent("a", ["loss"])
        store.postponed(first, "away", later)
        assert [each.run_id for each in store.due("r", "p", later)] == ["b"]
        kept = store.of_job("j")[0]
        assert (kept.done, kept.away_since, store.is_awaited("a")) == (("loss",), later, False)
        store.finished("a", later)
        assert (store.of_job("j")[0].state, store.of_job("j")[0].cause) == ("done", "")

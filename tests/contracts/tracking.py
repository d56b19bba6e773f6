"""What the tracking store promises, on whichever database; a subclass gives the `database`."""

import math
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import Connection

from headway.clock import FixedClock, from_millis
from headway.db.connection import Database
from headway.errors import HeadwayError, NotFound, UsageError
from headway.tracking.documents import documents, keep_documents
from headway.tracking.errors import AlreadyExists, WrongState
from headway.tracking.find import Query, find_runs
from headway.tracking.fold import FOLD_ROWS, fold
from headway.tracking.listing import search_experiments
from headway.tracking.model import Dataset, DatasetInput, Metric, ModelLink, RunStatus, Tag
from headway.tracking.search import parse_filter, parse_orders
from headway.tracking.store import Memory, RunStore
from headway.tracking.writer import Writer, apply

NAN = float("nan")


def store_of(tx: Connection, memory: Memory | None = None) -> Any:
    return RunStore(tx, actor="tester", memory=memory, clock=FixedClock(from_millis(1_700_000_000_000)))


def applied(database: Database, memory: Memory, requests: Sequence[Any]) -> Any:
    lane = database.lane(is_writer=True)
    try:
        return apply(lane, memory, requests)
    finally:
        lane.discard()


def names(tx: Connection, exps: Sequence[str], filter_text: str = "", order_by: Sequence[str] = (), **more: Any) -> Any:
    """Return the names of the runs that a search finds, all pages."""
    store, found, token = store_of(tx), [], ""
    while True:
        query = Query(
            exps=tuple(int(exp) for exp in exps),
            stages=more.get("stages", ("active",)),
            clauses=parse_filter(filter_text),
            orders=parse_orders(order_by),
            limit=more.get("limit", 1000),
            token=token,
        )
        ids, token = find_runs(store.link, query)
        rows = {row[0]: row[1] for row in store.link.each("select id, name from run where id in (??)", ids)}
        found += [rows[id_] for id_ in ids]
        if not token:
            return found


class TrackingContract:
    @pytest.fixture
    def database(self) -> Database:
        raise NotImplementedError

    @pytest.fixture
    def exp(self, database: Database) -> Any:
        with database.write() as tx:
            store = store_of(tx)
            store.experiments.ensure_default()
            return store.experiments.create("e")

    def run(self, database: Database, exp: str, **more: Any) -> Any:
        with database.write() as tx:
            return store_of(tx).create_run(exp, **more)

    # --- experiments ---

    def test_the_default_experiment_has_id_0_and_is_made_once(self, database: Database) -> None:
        for _ in range(2):
            with database.write() as tx:
                store_of(tx).experiments.ensure_default()
        with database.read() as tx:
            found = store_of(tx).experiments.get("0")
            assert (found.name, found.artifact_location) == ("Default", "mlflow-artifacts:/0")

    def test_an_experiment_is_found_by_id_and_by_name(self, database: Database, exp: str) -> None:
        with database.read() as tx:
            store = store_of(tx).experiments
            assert store.get(exp) == store.find("e")
            assert store.get(exp).artifact_location == f"mlflow-artifacts:/{exp}"
            assert store.find("other") is None

    def test_a_name_is_taken_also_by_a_deleted_experiment(self, database: Database, exp: str) -> None:
        with database.write() as tx:
            store_of(tx).experiments.delete(exp)
        with database.write() as tx, pytest.raises(AlreadyExists, match=r"Experiment\(name=e\) already exists"):
            store_of(tx).experiments.create("e")

    def test_an_unknown_experiment_is_not_found_and_junk_is_a_usage_error(self, database: Database, exp: str) -> None:
        with database.read() as tx:
            with pytest.raises(NotFound, match="No Experiment with id=99 exists"):
                store_of(tx).experiments.get("99")
            with pytest.raises(UsageError, match="must be a valid integer"):
                store_of(tx).experiments.get("x1")

    def test_deleting_an_experiment_takes_its_runs_along_both_ways(self, database: Database, exp: str) -> None:
        run = self.run(database, exp, name="r")
        with database.write() as tx:
            store_of(tx).experiments.delete(exp)
        with database.write() as tx:
            store = store_of(tx)
            assert store.info(run).stage == "deleted"
            with pytest.raises(NotFound):
                store.experiments.delete(exp)
            with pytest.raises(WrongState, match="Cannot rename a non-active experiment"):
                store.experiments.rename(exp, "f")
            with pytest.raises(UsageError, match=r"must be in the 'active' state. Current state is deleted"):
                store.create_run(exp)
            store.experiments.restore(exp)
            assert store.info(run).stage == "active"

    def test_experiment_tags_are_set_overwritten_and_deleted(self, database: Database, exp: str) -> None:
        with database.write() as tx:
            store = store_of(tx).experiments
            store.set_tag(exp, "a", "1")
            store.set_tag(exp, "a", "2")
            assert store.get(exp).tags == {"a": "2"}
            store.delete_tag(exp, "a")
            with pytest.raises(NotFound, match="No tag with name: a in experiment with id"):
                store.delete_tag(exp, "a")

    def test_experiments_are_searched_by_name_and_tag_newest_first(self, database: Database, exp: str) -> None:
        with database.write() as tx:
            store = store_of(tx).experiments
            store.create("Flights", tags=[Tag(key="team", value="nyc")])
            page = search_experiments(store, stages=("active",), filter_text="name ilike 'fli%' and tags.team = 'nyc'")
            assert [each.name for each in page.items] == ["Flights"]
            page = search_experiments(store, stages=("active",), max_results=2)
            assert [each.name for each in page.items] == ["Default", "e"]  # one creation time: id ascending
            page = search_experiments(store, stages=("active",), max_results=2, token=page.next_token)
            assert [each.name for each in page.items] == ["Flights"]
            page = search_experiments(store, stages=("active",), order_by=["name DESC"])
            assert [each.name for each in page.items] == ["e", "Flights", "Default"]

    @pytest.mark.parametrize("name", ["", "x" * 501, "nul\0"])
    def test_bad_experiment_names_are_refused(self, database: Database, exp: str, name: str) -> None:
        with database.write() as tx, pytest.raises(UsageError):
            store_of(tx).experiments.create(name)

    # --- the life of a run ---

    def test_a_run_begins_running_with_its_name_as_tag(self, database: Database, exp: str) -> None:
        run = self.run(database, exp, name="r", user_id="u", tags={"k": "v"}, params={"p": "1"}, job_id="J" * 26)
        with database.read() as tx:
            found = store_of(tx).get(run)
            assert found.info.status is RunStatus.RUNNING
            assert (found.info.name, found.info.user_id, found.info.job_id) == ("r", "u", "J" * 26)
            assert found.info.artifact_uri == f"mlflow-artifacts:/{exp}/{run}/artifacts"
            assert found.tags == {"k": "v", "mlflow.runName": "r"}
            assert found.params == {"p": "1"}

    def test_a_run_without_a_name_gets_one(self, database: Database, exp: str) -> None:
        run = self.run(database, exp)
        with database.read() as tx:
            name = store_of(tx).info(run).name
            assert name.count("-") == 2
            assert len(name) <= 20

    def test_two_different_names_are_refused(self, database: Database, exp: str) -> None:
        with database.write() as tx, pytest.raises(UsageError, match=r"Both 'run_name' argument and 'mlflow.runName'"):
            store_of(tx).create_run(exp, name="a", tags={"mlflow.runName": "b"})

    def test_finishing_renaming_and_the_name_tag_go_together(self, database: Database, exp: str) -> None:
        run = self.run(database, exp, name="r")
        with database.write() as tx:
            store = store_of(tx)
            info = store.finish(run, RunStatus.FINISHED, end_time=5)
            assert (info.status, info.end_time) == (RunStatus.FINISHED, 5)
            store.update_run(run, name="s")
            assert (store.get(run).info.name, store.get(run).tags["mlflow.runName"]) == ("s", "s")
            store.set_tags(run, {"mlflow.runName": "t"})
            assert (store.get(run).info.name, store.get(run).tags["mlflow.runName"]) == ("t", "t")

    def test_deleting_and_restoring_a_run_may_be_repeated(self, database: Database, exp: str) -> None:
        run = self.run(database, exp)
        with database.write() as tx:
            store = store_of(tx)
            for _ in range(2):
                store.delete_run(run)
            with pytest.raises(UsageError, match=f"The run {run} must be in the 'active' state"):
                store.log_param(run, "a", "1")
            for _ in range(2):
                store.restore_run(run)
            store.log_param(run, "a", "1")

    def test_an_unknown_run_is_not_found(self, database: Database, exp: str) -> None:
        with database.read() as tx:
            with pytest.raises(NotFound, match="Run with id=nope not found"):
                store_of(tx).get("nope")
            assert store_of(tx).find("nope") is None

    # --- logging ---

    def test_the_latest_metric_is_the_greatest_step_then_timestamp_then_value(
        self, database: Database, exp: str
    ) -> None:
        run = self.run(database, exp)
        with database.write() as tx:
            store = store_of(tx)
            store.log_metrics(run, [Metric("m", 1.0, 10, 5), Metric("m", 9.0, 99, 4)])
            store.log_metrics(run, [Metric("m", 3.0, 10, 5), Metric("m", 2.0, 10, 5)])
            assert store.get(run).metrics["m"] == Metric("m", 3.0, 10, 5)

    def test_a_history_comes_by_timestamp_step_and_value_and_each_point_once(
        self, database: Database, exp: str
    ) -> None:
        run = self.run(database, exp)
        points = [Metric("m", 2.0, 20, 2), Metric("m", 1.0, 10, 7), Metric("m", 0.5, 10, 7), Metric("o", 8.0, 1, 1)]
        for _ in range(2):
            with database.write() as tx:
                store_of(tx).log_metrics(run, points)
        with database.read() as tx:
            found = store_of(tx).history(run, "m")
            assert found == [Metric("m", 0.5, 10, 7), Metric("m", 1.0, 10, 7), Metric("m", 2.0, 20, 2)]
            assert store_of(tx).history(run, "unknown") == []

    def test_nan_stays_nan_and_infinity_becomes_the_largest_number(self, database: Database, exp: str) -> None:
        run = self.run(database, exp)
        with database.write() as tx:
            store = store_of(tx)
            store.log_metrics(run, [Metric("n", NAN, 1, 1), Metric("n", NAN, 1, 1), Metric("i", -math.inf, 1)])
            found = store.get(run)
            assert math.isnan(found.metrics["n"].value)
            assert found.metrics["i"].value == -1.7976931348623157e308
            assert [math.isnan(point.value) for point in store.history(run, "n")] == [True]

    def test_folding_changes_nothing_that_can_be_read(self, database: Database, exp: str) -> None:
        run = self.run(database, exp)
        for start in range(0, 60, 20):
            with database.write() as tx:
                store = store_of(tx)
                points = [Metric(f"k{i % 3}", float(i), 1000 - i, i) for i in range(start, start + 20)]
                store.log_metrics(run, [*points, points[0], Metric("k0", NAN, 5, 5)])
                before = {key: repr(store.history(run, key)) for key in ("k0", "k1", "k2")}
                fold(store.link, store.row(run).id)
                assert {key: repr(store.history(run, key)) for key in before} == before
                assert store.link.all("select 1 from tail") == []
                # what was folded comes again, as when a client retries
                store.log_metrics(run, points)
                assert {key: repr(store.history(run, key)) for key in before} == before

    def test_a_long_tail_folds_by_itself(self, database: Database, exp: str) -> None:
        run = self.run(database, exp)
        memory = Memory.empty()
        with database.write() as tx:
            store = store_of(tx, memory)
            for step in range(FOLD_ROWS + 10):
                store.log_metrics(run, [Metric("m", 0.5, step, step)])
            rows = store.link.one("select count(*) from tail")
            assert rows[0] <= 10
            assert [point.step for point in store.history(run, "m")] == list(range(FOLD_ROWS + 10))

    def test_params_are_written_once(self, database: Database, exp: str) -> None:
        run = self.run(database, exp)
        with database.write() as tx:
            store = store_of(tx)
            store.log_params(run, {"a": "1", "b": ""})
            store.log_params(run, {"a": "1"})
            store.log_param(run, "b", "")
            with pytest.raises(UsageError, match=r"Param with key='a' was already logged with value='1' for run ID="):
                store.log_param(run, "a", "2")
            with pytest.raises(UsageError, match=r"Params were already logged=\'\[\{"):
                store.log_params(run, {"a": "2"})
            assert store.get(run).params == {"a": "1", "b": ""}

    def test_long_values_are_cut_and_long_keys_refused(self, database: Database, exp: str) -> None:
        run = self.run(database, exp)
        with database.write() as tx:
            store = store_of(tx)
            store.log_param(run, "p", "x" * 7000)
            store.set_tags(run, {"t": "y" * 9000})
            assert len(store.get(run).params["p"]) == 6000
            assert len(store.get(run).tags["t"]) == 8000
            assert names(tx, [exp], f"params.p = '{'x' * 3000}'") == []
            with pytest.raises(UsageError, match="Param key"):
                store.log_param(run, "k" * 251, "1")

    @pytest.mark.parametrize("name", ["a/../b", "/a", "./a", "a\n", "a\0", "..", "", "a\tb", "a'b"])
    def test_bad_names_are_refused(self, database: Database, exp: str, name: str) -> None:
        run = self.run(database, exp)
        for write in (
            lambda store: store.log_metrics(run, [Metric(name, 1.0, 1)]),
            lambda store: store.log_param(run, name, "1"),
            lambda store: store.set_tags(run, {name: "1"}),
        ):
            with pytest.raises(UsageError, match="for parameter"), database.write() as tx:
                write(store_of(tx))

    def test_a_nul_in_a_value_is_refused(self, database: Database, exp: str) -> None:
        run = self.run(database, exp)
        with database.write() as tx, pytest.raises(UsageError, match="NUL"):
            store_of(tx).set_tags(run, {"t": "a\0b"})

    def test_tags_are_deleted_once(self, database: Database, exp: str) -> None:
        run = self.run(database, exp, tags={"t": "1"})
        with database.write() as tx:
            store = store_of(tx)
            store.delete_tag(run, "t")
            with pytest.raises(NotFound, match="No tag with name: t in run with id"):
                store.delete_tag(run, "t")

    def test_inputs_are_kept_once_per_name_and_digest(self, database: Database, exp: str) -> None:
        run = self.run(database, exp)
        data = Dataset(name="d", digest="x1", source_type="local", source="{}")
        with database.write() as tx:
            store = store_of(tx)
            for _ in range(2):
                store.log_inputs(
                    run,
                    [DatasetInput(dataset=data, tags=(Tag(key="mlflow.data.context", value="train"),))],
                    [ModelLink(model_id="m-1")],
                )
            store.log_outputs(run, [ModelLink(model_id="m-2", step=3)])
            found = store.get(run)
            assert [each.dataset for each in found.datasets] == [data]
            assert found.model_inputs == (ModelLink(model_id="m-1"),)
            assert found.model_outputs == (ModelLink(model_id="m-2", step=3),)
            assert names(tx, [exp], "datasets.context = 'train' and dataset.name LIKE 'd%'") == [found.info.name]

    # --- reading ---

    def test_children_and_tagged_runs_are_found(self, database: Database, exp: str) -> None:
        parent = self.run(database, exp)
        children = [
            self.run(database, exp, tags={"mlflow.parentRunId": parent}, start_time=start) for start in (10, 20, 30)
        ]
        with database.read() as tx:
            assert store_of(tx).children(parent) == children
            assert store_of(tx).tagged(exp, "mlflow.parentRunId", parent) == children[::-1]
            assert store_of(tx).tagged(exp, "no such tag", "x") == []

    def test_a_document_does_not_outlive_a_write(self, database: Database, exp: str) -> None:
        run = self.run(database, exp)
        with database.write() as tx:
            store = store_of(tx)
            store.finish(run, RunStatus.FINISHED)
            row = store.row(run).id
            old = documents(store.link, [row])
            assert old[0].is_fresh
        with database.write() as tx:  # somebody writes before the reader stores what it made
            store_of(tx).log_param(run, "late", "1")
        with database.write() as tx:
            store = store_of(tx)
            keep_documents(store.link, old)
            now = documents(store.link, [row])
            assert b'"late"' in now[0].doc
            keep_documents(store.link, now)
            assert not documents(store.link, [row])[0].is_fresh
        for change in (
            lambda store: store.set_tags(run, {"x": "1"}),
            lambda store: store.log_metrics(run, [Metric("m", 1.0, 1)]),
            lambda store: store.log_inputs(run, [], [ModelLink(model_id="m-1")]),
            lambda store: store.delete_run(run),
            lambda store: store.restore_run(run),
            lambda store: store.update_run(run, name="other"),
        ):
            with database.write() as tx:
                change(store_of(tx))
            with database.write() as tx:
                store = store_of(tx)
                made = documents(store.link, [row])
                assert made[0].is_fresh
                assert made[0].doc == store.document(run)
                keep_documents(store.link, made)

    # --- search ---

    @pytest.fixture
    def flock(self, database: Database, exp: str) -> Any:
        """Runs a to e: f1 is 0.1, 0.2, NaN, missing, 0.2; newest last."""
        values = {"a": 0.1, "b": 0.2, "c": NAN, "d": None, "e": 0.2}
        for start, (name, value) in enumerate(values.items()):
            run = self.run(database, exp, name=name, start_time=1000 + start, tags={"team": "x" if name < "c" else "Y"})
            with database.write() as tx:
                store = store_of(tx)
                store.log_params(run, {"model": name.upper()})
                if value is not None:
                    store.log_metrics(run, [Metric("f1", value, 1)])
        return exp

    @pytest.mark.parametrize(
        ("filter_text", "found"),
        [
            ("", "edcba"),
            ("metrics.f1 > 0.1", "eb"),
            ("metrics.f1 >= 0.1 and params.model = 'A'", "a"),
            ("metrics.f1 != 0.1", "ecb"),
            ("metrics.f1 < 99", "eba"),
            ("metrics.nothing > 0", ""),
            ("params.model != 'A'", "edcb"),
            ("params.nothing != 'A'", ""),
            ("params.nothing IS NULL", "edcba"),
            ("params.model IS NOT NULL", "edcba"),
            ("tags.team LIKE 'y%'", ""),
            ("tags.team ILIKE 'y%'", "edc"),
            ("tags.team LIKE '%' and name", None),
            ("run_name = 'a'", "a"),
            ("attributes.start_time >= 1003", "ed"),
            ("status = 'RUNNING' and start_time < 1001", "a"),
            ("attribute.artifact_uri LIKE 'mlflow-artifacts:/%'", "edcba"),
            ("run_id NOT IN ('x', 'y') and `run name` ILIKE 'A'", "a"),
            ("end_time > 0", ""),
        ],
    )
    def test_filters(self, database: Database, flock: str, filter_text: str, found: Any) -> None:
        with database.read() as tx:
            if found is None:
                with pytest.raises(UsageError):
                    names(tx, [flock], filter_text)
                return
            assert "".join(names(tx, [flock], filter_text)) == found
            assert "".join(names(tx, [flock], filter_text, limit=1)) == found

    @pytest.mark.parametrize(
        ("order_by", "found"),
        [
            (["metrics.f1 DESC"], "ebacd"),
            (["metrics.f1"], "aebcd"),
            (["metrics.f1", "start_time"], "abecd"),
            (["params.model DESC"], "edcba"),
            (["tags.team", "metrics.f1"], "ecdab"),
            (["tags.nothing", "attributes.start_time ASC"], "abcde"),
            (["end_time", "run_name DESC"], "edcba"),
            (["start_time ASC"], "abcde"),
            (["metrics.nothing"], "edcba"),
        ],
    )
    def test_orders_put_numbers_before_nan_before_missing_both_ways(
        self, database: Database, flock: str, order_by: Sequence[str], found: Any
    ) -> None:
        with database.read() as tx:
            for limit in (1, 2, 1000):
                assert "".join(names(tx, [flock], order_by=order_by, limit=limit)) == found
            assert "".join(names(tx, [flock, "0"], order_by=order_by, limit=2)) == found

    def test_a_search_keeps_to_its_experiments_and_stages(self, database: Database, flock: str) -> None:
        with database.write() as tx:
            store = store_of(tx)
            gone = store.tagged(flock, "mlflow.runName", "a")[0]
            store.delete_run(gone)
        with database.read() as tx:
            assert "".join(names(tx, [flock], "metrics.f1 > 0")) == "eb"
            assert names(tx, [flock], stages=("deleted",)) == ["a"]
            assert "".join(names(tx, [flock], stages=("active", "deleted"), limit=2)) == "edcba"
            assert names(tx, ["0"]) == names(tx, []) == []
            assert names(tx, ["0"], "metrics.f1 > 0") == []

    def test_a_search_returns_runs_with_what_they_logged_page_by_page(self, database: Database, flock: str) -> None:
        with database.read() as tx:
            store = store_of(tx)
            page = store.search([flock], "metrics.f1 > 0", order_by=["metrics.f1 DESC"], limit=2)
            assert [(run.info.name, run.metrics["f1"].value) for run in page.items] == [("e", 0.2), ("b", 0.2)]
            assert page.items[0] == store.get(page.items[0].info.run_id)
            rest = store.search([flock], "metrics.f1 > 0", order_by=["metrics.f1 DESC"], limit=2, token=page.next_token)
            assert [run.info.name for run in rest.items] == ["a"]
            assert rest.next_token == ""

    @pytest.mark.parametrize("token", ["x", "////", "bnVsbA==", "W10=", "WzFd", "WyJhIiwiYiJd", "e30="])
    def test_bad_page_tokens_are_refused(self, database: Database, flock: str, token: str) -> None:
        with database.read() as tx:
            store = store_of(tx)
            with pytest.raises(UsageError, match="Invalid page token"):
                find_runs(store.link, Query(exps=(int(flock),), stages=("active",), token=token))

    def test_a_statement_that_takes_too_long_is_broken_off(self, database: Database, exp: str) -> None:
        endless = "with recursive c(x) as (select 1 union all select x + 1 from c) select count(*) from c where x < 0"
        with database.read() as tx:
            link = store_of(tx).link
            with pytest.raises(UsageError, match="took too long"), link.time_limit(0.05):
                link.all(endless)
        with database.read() as tx:  # the connection is as good as before
            assert store_of(tx).experiments.get(exp).name == "e"

    # --- the writer ---

    def test_a_request_that_fails_fails_alone(self, database: Database, exp: str) -> None:
        memory = Memory.empty()
        run = self.run(database, exp)
        outcomes = applied(
            database,
            memory,
            [
                lambda store: store.log_metrics(run, [Metric("good", 1.0, 1)]),
                lambda store: store.log_batch(
                    run,
                    metrics=[Metric("lost", 1.0, 1), Metric("a/../b", 1.0, 1)],
                    params=[("p", "1")],
                    tags=[],
                ),
                lambda store: store.log_metrics(run, [Metric("lost", 2.0, 2)]),
            ],
        )
        assert [is_good for is_good, _ in outcomes] == [True, False, True]
        assert isinstance(outcomes[1][1], UsageError)
        with database.read() as tx:
            found = store_of(tx).get(run)
            assert sorted(found.metrics) == ["good", "lost"]
            assert found.metrics["lost"].value == 2.0
            assert found.params == {}

    def test_key_ids_of_a_group_that_rolled_back_are_forgotten(self, database: Database, exp: str) -> None:
        memory = Memory.empty()
        run = self.run(database, exp)

        def fails(store: RunStore) -> None:
            store.log_metrics(run, [Metric("new", 1.0, 1)])
            raise UsageError("no")

        for requests in ([fails], [fails, fails]):
            assert not any(is_good for is_good, _ in applied(database, memory, requests))
        with database.write() as tx:  # somebody else takes the ids meanwhile
            store_of(tx).log_metrics(run, [Metric("other", 7.0, 1)])
        applied(database, memory, [lambda store: store.log_metrics(run, [Metric("new", 1.0, 1)])])
        with database.read() as tx:
            assert {key: each.value for key, each in store_of(tx).get(run).metrics.items()} == {
                "new": 1.0,
                "other": 7.0,
            }

    def test_the_writer_thread_answers_callers_and_survives_their_mistakes(self, database: Database) -> None:
        writer = Writer(database)
        writer.start()
        try:
            exp = writer.call(lambda store: store.experiments.create("w"))
            futures = [writer.submit(lambda store: store.create_run(exp)) for _ in range(50)]
            assert len({future.result(30) for future in futures}) == 50
            with pytest.raises(HeadwayError):
                writer.call(lambda store: store.get("nope"))
            with pytest.raises(ZeroDivisionError):
                writer.call(lambda store: 1 / 0)
            assert writer.call(lambda store: store.experiments.get("0").name) == "Default"
        finally:
            writer.stop()

    def test_events_tell_who_began_ended_and_deleted_a_run(self, database: Database, exp: str) -> None:
        run = self.run(database, exp)
        with database.write() as tx:
            store = store_of(tx)
            store.finish(run, RunStatus.FAILED)
            store.delete_run(run)
            rows = store.link.all(
                "select from_state, to_state, actor from event where entity_id = ? order by seq",
                (run,),
            )
        assert rows == [
            (None, "RUNNING", "tester"),
            ("RUNNING", "FAILED", "tester"),
            ("active", "deleted", "tester"),
        ]

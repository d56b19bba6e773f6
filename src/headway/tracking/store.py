"""Runs over one connection: the synchronous way in for every package, and what the writer applies.

    with database.write() as tx:
        store = RunStore(tx, actor="worker")
        run_id = store.create_run(experiment_id, name="train", tags={...}, params={...}, job_id=job.id)
        store.log_metrics(run_id, [Metric("loss", 0.5, timestamp, step)])
        store.finish(run_id, RunStatus.FINISHED)

Several processes may do so at once: nothing that another process could change is remembered between transactions.
"""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

from headway.clock import SystemClock, to_millis
from headway.errors import NotFound, UsageError
from headway.tracking.clauses import exact_value
from headway.tracking.documents import InfoRow, documents, find_info, load_run, load_runs, run_info, tagged_document
from headway.tracking.events import note
from headway.tracking.experiments import ExperimentStore
from headway.tracking.find import Query, find_runs
from headway.tracking.fold import Tails, fold
from headway.tracking.history import read_history
from headway.tracking.inputs import write_datasets, write_models
from headway.tracking.keys import Keys, find_key
from headway.tracking.limits import (
    MAX_MODELS,
    check_length,
    checked_param,
    checked_tag,
    experiment_number,
    shortened_tag,
)
from headway.tracking.link import Link
from headway.tracking.log import (
    Pen,
    RunRow,
    drop_tag,
    tag_of,
    write_params,
    write_points,
    write_tags,
)
from headway.tracking.model import NAME_TAG, PARENT_TAG, KeyKind, Metric, Page, Run, RunInfo, RunStatus
from headway.tracking.names import random_name
from headway.tracking.search import parse_filter, parse_orders

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from headway.clock import Clock
    from headway.tracking.log import Measured
    from headway.tracking.model import DatasetInput, ModelLink

_MODELS_TAG = "mlflow.log-model.history"
_FINAL = frozenset(str(status) for status in RunStatus if status.is_final)


class Memory(NamedTuple):
    """What one writer may remember between transactions: key ids and tail lengths."""

    keys: Keys
    tails: Tails

    @classmethod
    def empty(cls) -> Memory:
        """Return a memory that knows nothing."""
        return cls(Keys(), Tails())

    def settle(self) -> None:
        """Keep what was learnt: the transaction is committed."""
        self.keys.settle()

    def forget(self, mark: int = 0) -> None:
        """Drop what was learnt since `mark`: the transaction rolled back."""
        self.keys.forget(mark)
        self.tails.forget()


class RunStore:
    """Runs, what they log and what they logged, in the transaction of one connection."""

    def __init__(
        self,
        tx: Connection,
        *,
        actor: str = "",
        memory: Memory | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Work inside the transaction of `tx`; events name `actor`."""
        self.tx = tx
        self.link = Link(tx)
        self.actor = actor
        self._clock = clock or SystemClock()
        self.memory = memory or Memory.empty()
        self._pen = Pen(self.link, self.memory.keys, self.memory.tails)
        self._made: tuple[InfoRow, dict[str, str]] | None = None  # the run that `create_run` made last

    @property
    def experiments(self) -> ExperimentStore:
        """The experiments, in the same transaction."""
        return ExperimentStore(self.tx, actor=self.actor, clock=self._clock)

    # --- the life of a run ---

    def create_run(
        self,
        experiment_id: str,
        *,
        name: str = "",
        user_id: str = "",
        tags: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        job_id: str | None = None,
        start_time: int | None = None,
        run_id: str = "",
    ) -> str:
        """Start a run in an active experiment and return its id; its name is made up when it has none."""
        exp, location = self._active_experiment(experiment_id)
        # As with MLflow, a new run's tags may have names that could not be set later.
        pairs = dict(shortened_tag(key, value, f"tags[{i}]") for i, (key, value) in enumerate((tags or {}).items()))
        tagged = pairs.get(NAME_TAG, "")
        if name and tagged and name != tagged:
            raise UsageError(
                "Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different values "
                f"(run_name='{name}', mlflow.runName='{tagged}').",
            )
        name = name or tagged or random_name()
        pairs[NAME_TAG] = checked_tag(NAME_TAG, name)[1]
        uid, now = run_id or uuid.uuid4().hex, self._now()
        shown, owner, start = name[:250], user_id[:256], now if start_time is None else start_time
        row = self.link.one(
            "insert into run (uuid, exp, name, user_id, status, start_time, stage, version, job_id) "
            "values (?, ?, ?, ?, 'RUNNING', ?, 'active', 1, ?) returning id",
            (uid, exp, shown, owner, start, job_id),
        )
        run = RunRow(0 if row is None else int(row[0]), exp, uid, "RUNNING", "active")
        info = InfoRow(run.id, 1, uid, exp, shown, owner, "RUNNING", start, None, "active", job_id, location)
        write_tags(self._pen, run, [pair for pair in pairs.items() if pair[0] != NAME_TAG])
        self._put_name_tag(run, pairs[NAME_TAG])
        if params:
            write_params(self._pen, run, [checked_param(key, params[key]) for key in params], is_batch=True)
        note(self.link, "run", uid, to_state="RUNNING", at=now, actor=self.actor)
        self._made = (info, pairs)
        return uid

    def update_run(
        self,
        run_id: str,
        *,
        status: RunStatus | None = None,
        end_time: int | None = None,
        name: str = "",
    ) -> RunInfo:
        """Change status, end or name of an active run."""
        run = self.active(run_id)
        if status is not None and status.is_final and self.memory.tails.is_long(self.link, run.id):
            fold(self.link, run.id)
            self.memory.tails.forget(run.id)
        self.link.run(
            "update run set status = coalesce(?, status), end_time = coalesce(?, end_time), version = version + 1 "
            "where id = ?",
            (None if status is None else str(status), end_time, run.id),
        )
        if name:
            write_tags(self._pen, run, [checked_tag(NAME_TAG, name)])
        if status is not None and status != run.status:
            note(
                self.link, "run", run_id, to_state=str(status), at=self._now(), actor=self.actor, from_state=run.status
            )
        return self.info(run_id)

    def finish(self, run_id: str, status: RunStatus, *, end_time: int | None = None) -> RunInfo:
        """End a run."""
        return self.update_run(run_id, status=status, end_time=self._now() if end_time is None else end_time)

    def delete_run(self, run_id: str) -> None:
        """Put a run into the trash; safe to repeat."""
        self._move(run_id, "deleted")

    def restore_run(self, run_id: str) -> None:
        """Take a run out of the trash; safe to repeat."""
        self._move(run_id, "active")

    def _move(self, run_id: str, to: str) -> None:
        run, now = self.row(run_id, lock=self.link.for_update), self._now()  # purged meanwhile: then it is gone
        if run.stage == to:
            return
        since, by = (now, self.actor[:128]) if to == "deleted" else (None, None)
        self.link.run(
            "update run set stage = ?, deleted_time = ?, deleted_by = ?, version = version + 1 where id = ?",
            (to, since, by, run.id),
        )
        note(self.link, "run", run_id, to_state=to, at=now, actor=self.actor, from_state=run.stage)

    # --- what a run logs ---

    def log_metrics(self, run_id: str, metrics: Sequence[Measured], *, path: str = "") -> None:
        """Append points; a repeat of an equal point is accepted and counts once."""
        run = self._written(run_id)
        write_points(self._pen, run, metrics, path=path)

    def log_params(self, run_id: str, params: Mapping[str, str]) -> None:
        """Add params; each may be written once."""
        pairs = [checked_param(key, value, f"params[{i}]") for i, (key, value) in enumerate(params.items())]
        write_params(self._pen, self._written(run_id), pairs, is_batch=True)

    def log_param(self, run_id: str, key: str, value: str) -> None:
        """Add one param; it may be written once."""
        write_params(self._pen, self._written(run_id), [checked_param(key, value)], is_batch=False)

    def set_tags(self, run_id: str, tags: Mapping[str, str], *, path: str = "") -> None:
        """Set tags; the last writer wins."""
        pairs = [checked_tag(key, value, f"{path}[{i}]" if path else "") for i, (key, value) in enumerate(tags.items())]
        write_tags(self._pen, self._written(run_id), pairs)

    def delete_tag(self, run_id: str, key: str) -> None:
        """Remove a tag that is there."""
        drop_tag(self._pen, self._written(run_id), key)

    def log_batch(
        self,
        run_id: str,
        *,
        metrics: Sequence[Measured],
        params: Sequence[tuple[str, str]],
        tags: Sequence[tuple[str, str]],
    ) -> None:
        """Write params, points and tags of one request, all or none."""
        pairs = [checked_param(key, value, f"params[{i}]") for i, (key, value) in enumerate(params)]
        marks = [checked_tag(key, value, f"tags[{i}]") for i, (key, value) in enumerate(tags)]
        run = self._written(run_id)
        write_params(self._pen, run, pairs, is_batch=True)
        write_points(self._pen, run, metrics, path="metrics")
        if marks:
            write_tags(self._pen, run, marks)

    def log_inputs(self, run_id: str, datasets: Sequence[DatasetInput], models: Sequence[ModelLink] = ()) -> None:
        """Note what a run read."""
        run = self._written(run_id)
        write_datasets(self.link, run, datasets)
        write_models(self.link, run, models, direction="input")

    def log_outputs(self, run_id: str, models: Sequence[ModelLink]) -> None:
        """Note the logged models that a run made."""
        write_models(self.link, self._written(run_id), models, direction="output")

    def log_model(self, run_id: str, model: dict[str, Any]) -> None:
        """Append a model's description to the run's tag of such descriptions (clients before 3.0)."""
        run = self._written(run_id)
        before = tag_of(self.link, run, _MODELS_TAG)
        try:
            known = json.loads(before or "[]")
        except ValueError:
            known = []
        text = json.dumps([*known, model])
        write_tags(self._pen, run, [(_MODELS_TAG, check_length(text, _MODELS_TAG, MAX_MODELS))])  # cut, it were no JSON

    # --- reading ---

    def row(self, run_id: str, *, lock: str = "") -> RunRow:
        """Return a run's narrow row."""
        # A run that is being purged is gone for everybody but the purge.
        row = self.link.one(
            f"select id, exp, uuid, status, stage from run where uuid = ? and stage <> 'purging'{lock}",  # noqa: S608  # ours
            (run_id,),
        )
        if row is None:
            raise unknown_run(run_id)
        return RunRow(*row)

    def active(self, run_id: str) -> RunRow:
        """Return the narrow row of a run that is not deleted, to be written."""
        run = self.row(run_id, lock=self.link.for_update)
        if run.stage != "active":
            raise UsageError(f"The run {run_id} must be in the 'active' state. Current state is {run.stage}.")
        return run

    def info(self, run_id: str) -> RunInfo:
        """Return what a run is, deleted or not."""
        return run_info(self.info_row(run_id))

    def info_row(self, run_id: str) -> InfoRow:
        """Return the row behind `info`."""
        row = find_info(self.link, run_id)
        if row is None:
            raise unknown_run(run_id)
        return row

    def get(self, run_id: str) -> Run:
        """Return a run with its latest metrics, params, tags and inputs, deleted or not."""
        return load_run(self.link, self.info_row(run_id))

    def find(self, run_id: str) -> Run | None:
        """Return a run, or None."""
        row = find_info(self.link, run_id)
        return None if row is None else load_run(self.link, row)

    def new_document(self, run_id: str) -> bytes:
        """Return the run that this store has just made, and so has logged nothing but tags, as the wire's JSON."""
        if self._made is None or self._made[0].uuid != run_id:
            raise unknown_run(run_id)
        return tagged_document(*self._made)

    def document(self, run_id: str) -> bytes:
        """Return a run as the wire's JSON."""
        return documents(self.link, [self.row(run_id).id])[0].doc

    def history(self, run_id: str, key: str) -> list[Metric]:
        """Return every point of a metric by timestamp, step and value; empty for an unknown one."""
        run = self.row(run_id)
        points = read_history(self.link, run.id, run.exp, name=key)
        return [Metric(key, value, stamp, step) for stamp, step, value in points]

    def search(
        self,
        experiment_ids: Sequence[str],
        filter_text: str = "",
        *,
        order_by: Sequence[str] = (),
        limit: int = 1000,
        token: str = "",
        stages: Sequence[str] = ("active",),
    ) -> Page:
        """Return one page of runs by the search language, newest first unless ordered; `next_token` leads on.

        Raises:
            UsageError: the filter, an order or the token cannot be read; the message says where.
        """
        query = Query(
            exps=tuple(dict.fromkeys(experiment_number(each) for each in experiment_ids)),
            stages=tuple(stages),
            clauses=parse_filter(filter_text),
            orders=parse_orders(order_by),
            limit=limit,
            token=token,
        )
        ids, more = find_runs(self.link, query)
        return Page(items=tuple(load_runs(self.link, ids)), next_token=more)

    def children(self, run_id: str) -> list[str]:
        """Return the ids of the active runs whose parent is this run, oldest first."""
        run = self.row(run_id)
        return self.tagged(str(run.exp), PARENT_TAG, run_id)[::-1]

    def tagged(self, experiment_id: str, key: str, value: str) -> list[str]:
        """Return the ids of an experiment's active runs that carry a tag, newest first."""
        exp = experiment_number(experiment_id)
        found = find_key(self.link, exp, kind=KeyKind.TAG, name=key)
        rows = self.link.all(
            "select r.uuid from text t join run r on r.id = t.run where t.key = ? "  # noqa: S608  # our own names
            f"and substr(t.value, 1, 200) = substr(?, 1, 200) and {exact_value(self.link, 't.value')} = ? "
            "and r.stage = 'active' "
            "order by r.start_time desc, r.id desc",
            (-1 if found is None else found, value, value),
        )
        return [str(row[0]) for row in rows]

    def tag(self, run_id: str, key: str) -> str | None:
        """Return one tag of a run, or None."""
        return tag_of(self.link, self.row(run_id), key)

    # --- small steps ---

    def _written(self, run_id: str) -> RunRow:
        run = self.active(run_id)
        if run.status in _FINAL:
            # An ended run may have a document, which this makes old.
            self.link.run("update run set version = version + 1 where id = ?", (run.id,))
        return run

    def _active_experiment(self, experiment_id: str) -> tuple[int, str]:
        """Return an experiment's number and where its artifacts lie."""
        exp = experiment_number(experiment_id)
        row = self.link.one("select stage, artifact_location from experiment where id = ?", (exp,))
        if row is None:
            raise NotFound(f"No Experiment with id={exp} exists")
        if row[0] != "active":
            raise UsageError(f"The experiment {exp} must be in the 'active' state. Current state is {row[0]}.")
        return exp, str(row[1])

    def _put_name_tag(self, run: RunRow, name: str) -> None:
        key = self.memory.keys.intern(self.link, run.exp, kind=KeyKind.TAG, name=NAME_TAG)
        self.link.run("insert into text (run, key, value) values (?, ?, ?)", (run.id, key, name))

    def _now(self) -> int:
        return to_millis(self._clock.now())


def unknown_run(run_id: str) -> NotFound:
    """Say that there is no such run, in MLflow's words."""
    return NotFound(f"Run with id={run_id[:300]} not found")

"""Tracked runs: found by MLflow's filter language, page by page; one run whole; two side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection
from starlette.responses import Response

from headway.api.admit import admit_to
from headway.auth.belongs import Kind
from headway.auth.visible import Sight, repos_in_sight, sight_text
from headway.db import schema
from headway.errors import HeadwayError, NotFound, UsageError
from headway.flow.find_runs import find_run
from headway.jobs.model import Job, Task
from headway.jobs.store import JobStore
from headway.registry.store import RegistryStore
from headway.tracking.documents import infos, load_run
from headway.tracking.find import Query
from headway.tracking.find import find_runs as find_ids
from headway.tracking.model import Run
from headway.tracking.outside import Outside
from headway.tracking.outside_store import Look, OutsideStore
from headway.tracking.search import parse_filter, parse_orders
from headway.tracking.store import RunStore
from headway.web.visit import Visit

PAGE = 50
_COLUMNS = 6
_LONGEST = 4096

EXAMPLES = (
    "metrics.val_auc > 0.7",
    "params.lr = '0.1' and attributes.status = 'FINISHED'",
    "tags.mlflow.source.git.commit LIKE '9f3c%'",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One run, and the job that made it."""

    run: Run
    job: Job | None
    task: Task | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the address says: filter, order, columns, and where the page starts."""

    where: str
    order: str
    columns: tuple[str, ...]  # metrics.NAME or params.NAME; () = chosen for the reader
    token: str


def list_runs(visit: Visit) -> Response:
    """Show runs that match; a filter that cannot be read is explained beside it, and nothing is lost."""
    asked = _asked(visit)
    rows: list[Row] = []
    token, error, is_any = "", None, True
    with visit.app.database.read() as tx:
        try:
            sight = sight_text(visit.principal, "project")
            rows, token = _page(tx, asked, sight)
            is_any = bool(rows) or bool(_page(tx, Asked(where="", order="", columns=(), token=""), sight)[0])
        except HeadwayError as failed:
            error = failed
        elsewhere = _elsewhere(tx, visit)
    return visit.page(
        "runs.html",
        elsewhere=elsewhere,
        asked=asked,
        rows=rows,
        columns=asked.columns or _chosen_for(rows),
        known=_known(rows),
        token=token,
        error=error,
        is_any=is_any,
        examples=EXAMPLES,
    )


def _elsewhere(tx: Connection, visit: Visit) -> list[tuple[Look, Outside]]:
    """Return what projects' own trackers told lately, of repositories that the visitor may see."""
    store = OutsideStore(tx)
    looks = store.lately(*repos_in_sight(visit.principal, schema.tracker_look.c.repo_id), limit=10)
    found = [(look, store.outside(look.repo_id, look.project, look.commit)) for look in looks]
    return [(look, outside) for look, outside in found if outside is not None]


def _asked(visit: Visit) -> Asked:
    columns = tuple(name.strip() for name in visit.query.get("columns", "").split(",") if name.strip())
    return Asked(
        where=visit.query.get("filter", ""),
        order=visit.query.get("order", ""),
        columns=columns[:20],
        token=visit.query.get("after", ""),
    )


def _page(tx: Connection, asked: Asked, sight: Sight) -> tuple[list[Row], str]:
    if len(asked.where) > _LONGEST:
        raise UsageError(f"the filter has over {_LONGEST} characters")
    store = RunStore(tx)
    experiments = tuple(int(each.id) for each in store.experiments.all(("active",), sight=sight))
    query = Query(
        exps=experiments,
        stages=("active",),
        clauses=parse_filter(asked.where),
        orders=parse_orders([asked.order]) if asked.order else (),
        limit=PAGE,
        token=asked.token,
    )
    ids, token = find_ids(store.link, query)
    found = infos(store.link, ids)
    return [_row(tx, load_run(store.link, found[each])) for each in ids], token


def _row(tx: Connection, run: Run) -> Row:
    task = JobStore(tx).task_of_run(run.info.run_id)
    job = JobStore(tx).get(task.job_id) if task else None
    return Row(run=run, job=job, task=task)


def _chosen_for(rows: Sequence[Row]) -> tuple[str, ...]:
    """Return the columns that most of these runs fill: metrics first."""
    counts: dict[str, int] = {}
    for row in rows:
        for name in _names(row.run):
            counts[name] = counts.get(name, 0) + 1
    ranked = sorted(counts, key=lambda name: (name.startswith("params."), -counts[name], name))
    metrics = [name for name in ranked if name.startswith("metrics.")][: _COLUMNS - 2]
    params = [name for name in ranked if name.startswith("params.")][: _COLUMNS - len(metrics)]
    return (*metrics, *params)


def _names(run: Run) -> list[str]:
    metrics = [f"metrics.{name}" for name in run.metrics if not name.startswith("system/")]
    return [*metrics, *(f"params.{name}" for name in run.params)]


def _known(rows: Sequence[Row]) -> list[str]:
    """Return what a column may be called, for the field's list of suggestions."""
    return sorted({name for row in rows for name in _names(row.run)})[:200]


def show(visit: Visit) -> Response:
    """Show one run: what it was given, what it measured, what it made."""
    with visit.app.database.read() as tx:
        run = _find(tx, visit.path["run"])
        row = _row(tx, run)
        store = RunStore(tx)
        children = [found for each in store.children(run.info.run_id)[:100] if (found := store.find(each))]
        version = RegistryStore(tx, visit.app.clock).version_of_run(run.info.run_id)
        experiment = store.experiments.get(run.info.experiment_id)
    return visit.page("run.html", row=row, run=run, children=children, made=version, experiment=experiment)


def _find(tx: Connection, run_id: str) -> Run:
    found = find_run(tx, run_id)
    if found is None:
        raise NotFound(f"there is no run {run_id}", hint="/runs lists them")
    return found


def choose(visit: Visit) -> Response:
    """Lead from two chosen rows to their comparison."""
    a, b = visit.query.get("a", ""), visit.query.get("b", "")
    with visit.app.database.read() as tx:
        if not a or not b:
            raise UsageError("two runs are compared", cause="not both are named", hint="choose one as A, another as B")
        for side in (a, b):
            admit_to(visit.app, visit.principal, Kind.RUN, name=side)
        first, second = _find(tx, a), _find(tx, b)
    return visit.go(f"/runs/{first.info.run_id}/compare/{second.info.run_id}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Differs:
    """One parameter, metric or tag on both sides."""

    name: str
    a: str | float | None
    b: str | float | None

    @property
    def is_same(self) -> bool:
        """Whether there is nothing to tell."""
        return self.a == self.b


def compare(visit: Visit) -> Response:
    """Show two runs side by side: what differs, and everything on request."""
    with visit.app.database.read() as tx:
        a, b = (_row(tx, _find(tx, visit.path[side])) for side in ("a", "b"))
    everything = "all" in visit.query
    return visit.page(
        "run_compare.html",
        a=a,
        b=b,
        params=_sides(a.run.params, b.run.params, everything=everything),
        metrics=_sides(
            {name: point.value for name, point in a.run.metrics.items() if not name.startswith("system/")},
            {name: point.value for name, point in b.run.metrics.items() if not name.startswith("system/")},
            everything=True,
        ),
        everything=everything,
    )


def _sides(
    a: dict[str, str] | dict[str, float], b: dict[str, str] | dict[str, float], *, everything: bool
) -> list[Differs]:
    found = [Differs(name=name, a=a.get(name), b=b.get(name)) for name in sorted({*a, *b})]
    return [each for each in found if everything or not each.is_same]

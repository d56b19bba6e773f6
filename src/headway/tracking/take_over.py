"""Writing what moves in from another tracker: ids, times and histories as they were, nothing that stands here changed.

A run is new, or it is the run that came before under its id: then only what it lacks is added, so that an import that
was killed goes on. A run of the same id that is another one is refused.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, NamedTuple

from headway.blobs.keys import checked_key
from headway.errors import HeadwayError, StorageFull, Unreachable, UsageError
from headway.tracking.events import note
from headway.tracking.fold import CHUNK_POINTS, SMALL_POINTS
from headway.tracking.inputs import write_datasets, write_models
from headway.tracking.limits import MAX_KEY, check_metric_name, check_name, clamped, experiment_number, storable
from headway.tracking.log import Pen, RunRow, raise_latest, write_params, write_points, write_tags
from headway.tracking.model import (
    NAME_TAG,
    Dataset,
    DatasetInput,
    KeyKind,
    Metric,
    ModelLink,
    RunStatus,
    Tag,
)
from headway.tracking.moved import HereRun, MovedExperiment, MovedIn, MovedRun, unpack_history
from headway.tracking.points import Point, pack_border, pack_chunk, tidied, unpack_chunk, unpack_tail

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from headway.tracking.link import Link
    from headway.tracking.store import RunStore

MAX_TEXT = 1_000_000  # characters of a param or tag: more than any version of MLflow took
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}\Z")
_STAGES = ("active", "deleted")
_OPEN = frozenset({"RUNNING", "SCHEDULED"})


def take_experiment(store: RunStore, moved: MovedExperiment) -> tuple[str, MovedIn]:
    """Return the id of the experiment of a name, made when there was none, and what became of it.

    Raises:
        UsageError: its name is that of an experiment in the trash here, or cannot be stored.
    """
    found = store.experiments.find_in(moved.project, moved.name)
    if found is not None:
        if found.stage != "active" and found.creation_time != moved.creation_time:
            raise UsageError(
                f"an experiment {moved.name!r} lies in the trash here",
                hint=f"restore it (experiment {found.id}) or rename it, then import again",
            )
        other = sorted(key for key, value in moved.tags.items() if found.tags.get(key, value) != value)
        why = f"kept this server's own value of its tags {', '.join(other)}" if other else ""
        _put_experiment_tags(store, int(found.id), {k: v for k, v in moved.tags.items() if k not in found.tags})
        return found.id, MovedIn(id=moved.name, state="same", why=why)
    made = store.experiments.create(moved.name, artifact_location=moved.artifact_location, project=moved.project)
    store.link.run(
        "update experiment set creation_time = ?, last_update_time = ? where id = ?",
        (moved.creation_time, moved.last_update_time, int(made)),
    )
    _put_experiment_tags(store, int(made), moved.tags)
    return made, MovedIn(id=moved.name, state="new")


def _put_experiment_tags(store: RunStore, exp: int, tags: Mapping[str, str]) -> None:
    for key, value in _texts(tags, "tags"):
        store.link.run("insert into experiment_tag (exp, key, value) values (?, ?, ?)", (exp, key, value))


def prepare_run(moved: MovedRun) -> ReadyRun | MovedIn:
    """Check and pack all of a run, or say why it is refused; long, and needs no database: not in a writer's turn."""
    try:
        return ReadyRun(moved)
    except HeadwayError as error:
        return _refused(moved, error)


def take_run(store: RunStore, experiment_id: str, run: MovedRun | ReadyRun | MovedIn) -> MovedIn:
    """Write one run, or what it lacks; what cannot be taken is refused with its reason and leaves nothing."""
    ready = prepare_run(run) if isinstance(run, MovedRun) else run
    if isinstance(ready, MovedIn):
        return ready
    mark = store.memory.keys.mark()
    store.link.run("savepoint moved")
    try:
        became = MovedIn(id=ready.moved.run_id, state=_take(store, experiment_number(experiment_id), ready))
    except (StorageFull, Unreachable):
        raise  # the database refuses, not the run
    except HeadwayError as error:
        store.link.run("rollback to savepoint moved")
        store.memory.forget(mark)
        became = _refused(ready.moved, error)
    store.link.run("release savepoint moved")
    return became


def _refused(moved: MovedRun, error: HeadwayError) -> MovedIn:
    return MovedIn(id=moved.run_id, state="refused", why=": ".join(filter(None, (error.message, error.cause))))


def _take(store: RunStore, exp: int, ready: ReadyRun) -> str:
    run_id = ready.moved.run_id
    row = store.link.one("select id, exp, uuid, status, stage, start_time, job_id from run where uuid = ?", (run_id,))
    if row is None:
        _insert(store, exp, ready)
        return "new"
    if row[5] != ready.moved.start_time or row[6]:
        raise UsageError("another run has this id here", cause="its start, or the job that made it, is another")
    return "added" if _complete(store, RunRow(*row[:5]), ready) else "same"


class ReadyRun:
    """A foreign run whose every field was checked, before anything of it is written; long histories are packed."""

    def __init__(self, moved: MovedRun) -> None:
        """Check it.

        Raises:
            UsageError: something of it cannot be kept.
        """
        if not _RUN_ID.match(moved.run_id):
            raise UsageError(f"{moved.run_id[:80]!r} cannot be a run's id")
        checked_key(moved.run_id)
        if moved.stage not in _STAGES or moved.status not in RunStatus.__members__:
            raise UsageError(f"status {moved.status[:40]!r} or stage {moved.stage[:40]!r} is not MLflow's")
        if moved.start_time < 0 or (moved.end_time or 0) < 0:
            raise UsageError("it began or ended before 1970")
        self.moved = moved
        self.params = _texts(moved.params, "params")
        self.tags = _texts({NAME_TAG: moved.name, **moved.tags} if moved.name else moved.tags, "tags")
        self.histories: dict[str, list[Point]] = {}
        for key, data in moved.histories.items():
            check_metric_name(key, "metrics")
            points = unpack_history(data, key)
            if points:
                self.histories[key] = [(stamp, step, clamped(value)) for stamp, step, value in points]
        is_long = sum(map(len, self.histories.values())) > SMALL_POINTS
        self.packed = {key: _packed(points) for key, points in self.histories.items()} if is_long else {}


class _Packed(NamedTuple):
    latest: Point
    chunks: list[tuple[int, bytes, bytes, bytes]]  # how many points, the first, the last, all of them


def _packed(points: Sequence[Point]) -> _Packed:
    parts = [points[start : start + CHUNK_POINTS] for start in range(0, len(points), CHUNK_POINTS)]
    chunks = [(len(part), pack_border(part[0]), pack_border(part[-1]), pack_chunk(part)) for part in parts]
    return _Packed(max(points, key=_rank), chunks)


def _rank(point: Point) -> tuple[int, int, float, bool]:
    """Order points as their latest value is chosen; NaN stands where 0 would."""
    stamp, step, value = point
    is_nan = math.isnan(value)
    return step, stamp, 0.0 if is_nan else value, is_nan


def _texts(pairs: Mapping[str, str], path: str) -> list[tuple[str, str]]:
    for key, value in pairs.items():
        check_name(key, f"{path}.key")
        if len(key) > MAX_KEY or len(value) > MAX_TEXT:
            raise UsageError(f"{path} {key[:80]!r} is longer than can be kept", hint="shorten it at the source")
        storable(value, f"{path} {key}")
    return list(pairs.items())


def _insert(store: RunStore, exp: int, ready: ReadyRun) -> None:
    moved = ready.moved
    name = storable(moved.name, "name")[:250]
    row = store.link.one(
        "insert into run (uuid, exp, name, user_id, status, start_time, end_time, stage, version) "
        "values (?, ?, ?, ?, ?, ?, ?, 'active', 1) returning id",
        (
            moved.run_id,
            exp,
            name,
            storable(moved.user_id, "user_id")[:256],
            moved.status,
            moved.start_time,
            moved.end_time,
        ),
    )
    run = RunRow(0 if row is None else int(row[0]), exp, moved.run_id, moved.status, "active")
    pen = _pen(store)
    write_tags(pen, run, ready.tags)
    store.link.run("update run set name = ? where id = ?", (name, run.id))  # a tag may be longer
    write_params(pen, run, ready.params, is_batch=True)
    if ready.packed:
        _write_chunks(pen, run, ready.packed)
    else:
        write_points(pen, run, _flat(ready.histories))
    _write_links(store.link, run, moved)
    note(store.link, "run", moved.run_id, to_state=moved.status, at=moved.start_time, actor=store.actor or "import")
    if moved.stage == "deleted":
        store.delete_run(moved.run_id)


def _pen(store: RunStore) -> Pen:
    return Pen(store.link, store.memory.keys, store.memory.tails)


def _flat(histories: Mapping[str, Sequence[Point]]) -> list[Metric]:
    return [Metric(key, value, stamp, step) for key, points in histories.items() for stamp, step, value in points]


def _write_chunks(pen: Pen, run: RunRow, packed: Mapping[str, _Packed]) -> None:
    rows = []
    for key, history in packed.items():
        key_id = pen.keys.intern(pen.link, run.exp, kind=KeyKind.METRIC, name=key)
        rows += [(run.id, key_id, seq, *chunk) for seq, chunk in enumerate(history.chunks)]
        raise_latest(pen, run, [key_id], [history.latest])
    pen.link.many("insert into chunk (run, key, seq, n, first, last, data) values (?, ?, ?, ?, ?, ?, ?)", rows)


def _write_links(link: Link, run: RunRow, moved: MovedRun) -> None:
    write_datasets(
        link,
        run,
        [
            DatasetInput(
                dataset=Dataset(
                    name=each.name,
                    digest=each.digest,
                    source_type=each.source_type,
                    source=each.source,
                    schema=each.schema,
                    profile=each.profile,
                ),
                tags=tuple(Tag(key=key, value=value) for key, value in each.tags.items()),
            )
            for each in moved.datasets
        ],
    )
    for links, way in ((moved.model_inputs, "input"), (moved.model_outputs, "output")):
        write_models(link, run, [ModelLink(model_id=each.model_id, step=each.step) for each in links], direction=way)


def _complete(store: RunStore, run: RunRow, ready: ReadyRun) -> bool:
    """Add what a run lacks that came before; say whether that was anything."""
    moved, pen = ready.moved, _pen(store)
    here = {
        (int(kind), str(name))
        for kind, name in store.link.all(
            "select k.kind, k.name from text t join key k on k.id = t.key where t.run = ?", (run.id,)
        )
    }
    write_params(pen, run, ready.params, is_batch=True)  # refuses another value
    new_tags = [(key, value) for key, value in ready.tags if (int(KeyKind.TAG), key) not in here]
    write_tags(pen, run, new_tags)
    fresh = _fresh(store.link, run, ready.histories)
    for start in range(0, len(fresh), CHUNK_POINTS):
        write_points(pen, run, fresh[start : start + CHUNK_POINTS])
    _write_links(store.link, run, moved)
    has_ended = run.status in _OPEN and moved.status not in _OPEN
    if has_ended:
        store.link.run("update run set status = ?, end_time = ? where id = ?", (moved.status, moved.end_time, run.id))
    store.link.run("update run set version = version + 1 where id = ?", (run.id,))
    new_params = any((int(KeyKind.PARAM), key) not in here for key, _ in ready.params)
    if moved.stage == "deleted" and run.stage == "active":
        store.delete_run(moved.run_id)
        return True
    return bool(new_tags or fresh or has_ended or new_params)


def _fresh(link: Link, run: RunRow, histories: Mapping[str, Sequence[Point]]) -> list[Metric]:
    stored = _stored_points(link, run.id) if histories else {}
    names = {
        str(name): int(id_)
        for id_, name in link.all("select id, name from key where exp = ? and kind = ?", (run.exp, int(KeyKind.METRIC)))
    }
    fresh: list[Metric] = []
    for key, points in histories.items():
        before = {_same(point) for point in stored.get(names.get(key, -1), ())}
        fresh += [
            Metric(key, value, stamp, step)
            for stamp, step, value in points
            if _same((stamp, step, value)) not in before
        ]
    return fresh


def _same(point: Point) -> tuple[int, int, float | str]:
    stamp, step, value = point
    return (stamp, step, "nan") if value != value else point  # noqa: PLR0124  # NaN


def _stored_points(link: Link, run: int) -> dict[int, list[Point]]:
    """Return every point of a run by key, each once."""
    found: dict[int, list[Point]] = {}
    for key, data in link.all("select key, data from chunk where run = ? order by key, seq", (run,)):
        found.setdefault(key, []).extend(unpack_chunk(data))
    for (data,) in link.all("select data from tail where run = ? order by id", (run,)):
        keys, points = unpack_tail(data)
        for key, point in zip(keys, points, strict=True):
            found.setdefault(key, []).append(point)
    return {key: tidied(points) for key, points in found.items()}


def count_runs(link: Link, run_ids: Iterable[str]) -> list[HereRun]:
    """Return what is here of these runs, counted in the rows themselves."""
    wanted = list(run_ids)
    rows = list(link.each("select id, uuid, exp, status, stage, start_time from run where uuid in (??)", wanted))
    ids = [row[0] for row in rows]
    texts = {
        (run, kind): count
        for run, kind, count in link.each(
            "select t.run, k.kind, count(*) from text t join key k on k.id = t.key "
            "where t.run in (??) group by t.run, k.kind",
            ids,
        )
    }
    return [
        HereRun(
            run_id=uuid,
            experiment_id=str(exp),
            status=status,
            stage=stage,
            start_time=start,
            points=sum(map(len, _stored_points(link, id_).values())),
            params=texts.get((id_, int(KeyKind.PARAM)), 0),
            tags=texts.get((id_, int(KeyKind.TAG)), 0),
        )
        for id_, uuid, exp, status, stage, start in rows
    ]

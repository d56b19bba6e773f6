"""What a run logs: points, params, tags, inputs and outputs. Called inside the writer's transaction."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple, Protocol

from headway.errors import NotFound, UsageError
from headway.tracking.fold import Tails, fold
from headway.tracking.limits import check_metric_name, clamped
from headway.tracking.model import NAME_TAG, KeyKind
from headway.tracking.points import Point, pack_tail

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from headway.tracking.keys import Keys
    from headway.tracking.link import Link

_LATEST = (
    "on conflict (run, key) do update set value = excluded.value, nan = excluded.nan, ts = excluded.ts, "
    "step = excluded.step where (excluded.step, excluded.ts, excluded.value) > (metric.step, metric.ts, metric.value)"
)
_LATEST_ROW = f"insert into metric (run, key, value, nan, ts, step) values (?, ?, ?, ?, ?, ?) {_LATEST}"  # noqa: S608  # ours
_LATEST_MANY = (
    "insert into metric (run, key, value, nan, ts, step) select * from unnest("  # noqa: S608  # our own text
    f"?::int[], ?::int[], ?::float8[], ?::bool[], ?::bigint[], ?::bigint[]) {_LATEST}"
)
_TAIL = "insert into tail (run, n, data) values (?, ?, ?)"


# Step, timestamp, value, whether it is NaN: what the latest point of a metric is the greatest of.
Rank = tuple[int, int, float, bool]


class Measured(Protocol):
    """A point with its key, as `Metric` is one."""

    @property
    def key(self) -> str:
        """The metric's name."""
        ...

    @property
    def value(self) -> float:
        """The number."""
        ...

    @property
    def timestamp(self) -> int:
        """Milliseconds."""
        ...

    @property
    def step(self) -> int:
        """The step."""
        ...


class RunRow(NamedTuple):
    """The narrow row of a run that every write reads first."""

    id: int
    exp: int
    uuid: str
    status: str
    stage: str


class Pen(NamedTuple):
    """What writing needs: the statements, the known key ids and tail lengths."""

    link: Link
    keys: Keys
    tails: Tails


def write_points(pen: Pen, run: RunRow, metrics: Sequence[Measured], *, path: str = "") -> None:
    """Append points and raise the latest values; a repeated point changes nothing that can be read."""
    if not metrics:
        return
    keys = _metric_keys(pen, run, metrics, path=path)
    stamps = [metric.timestamp for metric in metrics]
    steps = [metric.step for metric in metrics]
    values = [metric.value for metric in metrics]
    has_odd = not math.isfinite(sum(values))  # NaN or infinity among them, or a sum beyond all numbers
    if has_odd:
        values = [clamped(value) for value in values]
    pen.link.run(_TAIL, (run.id, len(keys), pack_tail(keys, stamps, steps, values)))
    _put_latest(pen, run, _latest(keys, zip(steps, stamps, values, strict=True), has_odd=has_odd))
    if pen.tails.grown(pen.link, run.id, len(keys)):
        fold(pen.link, run.id)
        pen.tails.forget(run.id)


def raise_latest(pen: Pen, run: RunRow, keys: list[int], points: Sequence[Point]) -> None:
    """Raise the latest values for points that are kept already."""
    has_odd = not math.isfinite(sum(value for _, _, value in points))
    ranked = ((step, stamp, value) for stamp, step, value in points)
    _put_latest(pen, run, _latest(keys, ranked, has_odd=has_odd))


def _put_latest(pen: Pen, run: RunRow, latest: dict[int, Rank]) -> None:
    # In the order of the ids, so that two writers cannot wait for each other.
    rows = [(run.id, key, value, nan, stamp, step) for key, (step, stamp, value, nan) in sorted(latest.items())]
    if pen.link.is_sqlite or len(rows) == 1:
        pen.link.many(_LATEST_ROW, rows)
    else:
        pen.link.run(_LATEST_MANY, [list(column) for column in zip(*rows, strict=True)])


def _metric_keys(pen: Pen, run: RunRow, metrics: Sequence[Measured], *, path: str) -> list[int]:
    known = pen.keys.known(run.exp, KeyKind.METRIC)
    for index, metric in enumerate(metrics):
        if metric.key not in known:
            check_metric_name(metric.key, f"{path}[{index}].name" if path else "name")
            pen.keys.intern(pen.link, run.exp, kind=KeyKind.METRIC, name=metric.key)
    return [known[metric.key] for metric in metrics]


def _latest(keys: list[int], points: Iterable[tuple[int, int, float]], *, has_odd: bool) -> dict[int, Rank]:
    """Return the greatest (step, timestamp, value) of each key; NaN stands where 0 would."""
    if not has_odd and keys.count(keys[0]) == len(keys):
        return {keys[0]: (*max(points), False)}
    latest: dict[int, Rank] = {}
    for key, (step, stamp, value) in zip(keys, points, strict=True):
        is_nan = has_odd and math.isnan(value)
        rank = (step, stamp, 0.0 if is_nan else value, is_nan)
        if key not in latest or rank > latest[key]:
            latest[key] = rank
    return latest


def write_params(pen: Pen, run: RunRow, params: Iterable[tuple[str, str]], *, is_batch: bool) -> None:
    """Add params that were checked; one that has another value already is refused, the same value is fine."""
    wanted = {pen.keys.intern(pen.link, run.exp, kind=KeyKind.PARAM, name=key): (key, value) for key, value in params}
    if not wanted:
        return
    found: dict[int, str] = dict(
        pen.link.each("select key, value from text where run = ? and key in (??)", list(wanted), before=[run.id])
    )
    changed = [(key, found[id_], value) for id_, (key, value) in wanted.items() if found.get(id_, value) != value]
    if changed and is_batch:
        told = [{"key": key, "old_value": old, "new_value": new} for key, old, new in changed]
        raise UsageError(
            f"Changing param values is not allowed. Params were already logged='{told}' for run ID='{run.uuid}'.",
        )
    for key, old, new in changed:
        raise UsageError(
            f"Changing param values is not allowed. Param with key='{key}' was already logged with value='{old}' "
            f"for run ID='{run.uuid}'. Attempted logging new value '{new}'.",
        )
    _put_text(pen.link, run.id, [(id_, value) for id_, (_, value) in wanted.items() if id_ not in found])


def write_tags(pen: Pen, run: RunRow, tags: Iterable[tuple[str, str]]) -> None:
    """Set tags that were checked; the run's name follows its tag."""
    ids: dict[int, str] = {}
    for key, value in tags:
        if key == NAME_TAG:
            if not value:
                continue
            pen.link.run("update run set name = ? where id = ?", (value, run.id))
        ids[pen.keys.intern(pen.link, run.exp, kind=KeyKind.TAG, name=key)] = value
    _put_text(pen.link, run.id, list(ids.items()))


def _put_text(link: Link, run: int, pairs: list[tuple[int, str]]) -> None:
    link.many(
        "insert into text (run, key, value) values (?, ?, ?) "
        "on conflict (run, key) do update set value = excluded.value",
        [(run, key, value) for key, value in sorted(pairs)],
    )


def drop_tag(pen: Pen, run: RunRow, key: str) -> None:
    """Remove a tag that is there."""
    done = pen.link.run(
        "delete from text where run = ? and key in (select id from key where exp = ? and kind = ? and name = ?)",
        (run.id, run.exp, int(KeyKind.TAG), key),
    )
    if done.rowcount == 0:
        raise NotFound(f"No tag with name: {key} in run with id {run.uuid}")


def tag_of(link: Link, run: RunRow, key: str) -> str | None:
    """Return a run's tag, or None."""
    row = link.one(
        "select t.value from key k join text t on t.key = k.id and t.run = ? "
        "where k.exp = ? and k.kind = ? and k.name = ?",
        (run.id, run.exp, int(KeyKind.TAG), key),
    )
    return None if row is None else str(row[0])

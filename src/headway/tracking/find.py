"""Which runs a search finds, in which order, a page at a time.

The order of the walk decides what it costs (tracking-store.md): a selective clause is walked first, found by probing
each clause up to a limit; otherwise runs are walked in the wanted order and tested. Pages go on by the sort keys of the
last run, not by an offset, so that the last page costs what the first one does.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import msgspec

from headway.errors import UsageError
from headway.tracking.clauses import (
    ENTITY_KINDS,
    NEVER,
    Condition,
    Walk,
    compared,
    having,
    is_keyed,
    key_ids,
    plain_test,
    run_column,
    walk_of,
)
from headway.tracking.link import marks
from headway.tracking.search import ATTRIBUTE, METRIC, PARAM, TAG, Clause, Order

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from headway.tracking.link import Link, Row

_RARE = 2000
_FEW = 300  # walking them costs no more than looking for fewer
_RARE_TEXT = 400  # SQLite looks each of them up
_MOST_EXPERIMENTS = 5000
_RUNS_FOR_A_WALK = 100  # what beginning one more walk costs, in runs that are sorted
_TEXTS = (PARAM, TAG)
_NEWEST = (("r.start_time", False), ("r.uuid", True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A search, read and checked."""

    exps: tuple[int, ...]
    stages: tuple[str, ...]
    clauses: tuple[Clause, ...] = ()
    orders: tuple[Order, ...] = ()
    limit: int = 1000
    token: str = ""


@dataclass(frozen=True, slots=True)
class _Plan:
    """Where a walk starts, what it tests, and by which never-empty sort keys it goes."""

    start: Condition
    tests: tuple[Condition, ...]
    keys: tuple[tuple[str, bool], ...]  # expression, is ascending
    binds: tuple[Any, ...] = ()  # of the expressions, once


@dataclass(frozen=True, slots=True)
class _Asked:
    """What every run must satisfy."""

    plain: tuple[Condition, ...]
    walks: tuple[Walk, ...]

    def tests(self, run: str = "r.id") -> tuple[Condition, ...]:
        """Return the conditions on the run whose id that expression has."""
        return (*self.plain, *(having(walk, run) for walk in self.walks))


def find_runs(link: Link, query: Query) -> tuple[list[int], str]:
    """Return the row ids of one page of runs, and the token of the next page or ""."""
    if not query.exps:
        return [], ""
    if len(query.exps) > _MOST_EXPERIMENTS:
        raise UsageError(f"At most {_MOST_EXPERIMENTS} experiments can be searched at once. Got {len(query.exps)}.")
    after = _read_token(query.token)
    tests, walks, is_empty = _conditions(link, query)
    if is_empty:
        return [], ""
    is_merged = _is_merge_shorter(link, query)
    rare = _start_of(link, query, walks, is_by_metric=is_merged or len(query.exps) == 1)
    asked = _Asked(tuple(tests), tuple(walk for walk in walks if walk is not rare))
    if rare is None and is_merged:
        rows = _merged(link, query, after, asked=asked)
    else:
        rows = _first_rows(link, _plans(link, query, asked, rare), after, query.limit + 1)
    page = rows[: query.limit]
    token = _token(page[-1][1:]) if len(rows) > query.limit else ""
    return [row[0] for row in page], token


def _first_rows(link: Link, plans: Iterable[_Plan], after: tuple[Any, ...], count: int) -> list[Row]:
    rows: list[Row] = []
    for plan in plans:
        rows += _walked(link, plan, after, count - len(rows))
        if len(rows) >= count:
            break
    return rows


def _is_merge_shorter(link: Link, query: Query) -> bool:
    """Say whether each experiment should give its own first runs: an index has the order of one experiment only."""
    if len(query.exps) == 1 or len(query.orders) > 1 or any(each.entity in _TEXTS for each in query.orders):
        return False
    return _most_runs(link) > _RUNS_FOR_A_WALK * len(query.exps)


def _merged(link: Link, query: Query, after: tuple[Any, ...], *, asked: _Asked) -> list[Row]:
    rows: list[Row] = []
    ways: tuple[bool, ...] = ()
    for exp in query.exps:
        plans = _plans(link, replace(query, exps=(exp,)), asked, None)
        rows += _first_rows(link, plans, after, query.limit + 1)
        ways = tuple(is_ascending for _, is_ascending in plans[0].keys)
    for index in reversed(range(len(ways))):
        rows.sort(key=itemgetter(index + 1), reverse=not ways[index])
    return rows[: query.limit + 1]


def _conditions(link: Link, query: Query) -> tuple[list[Condition], list[Walk], bool]:
    tests: list[Condition] = []
    walks: list[Walk] = []
    for clause in query.clauses:
        if not is_keyed(clause):
            tests.append(plain_test(link, clause))
            continue
        walk = walk_of(link, clause, query.exps)
        if clause.op == "IS NULL":
            tests += [] if walk is None else [having(walk, is_absent=True)]
        elif walk is None:
            return [NEVER], [], True
        else:
            walks.append(walk)
    return tests, walks, False


def _start_of(link: Link, query: Query, walks: Sequence[Walk], *, is_by_metric: bool) -> Walk | None:
    """Return the walk to start from; None where going in the wanted order meets a page's worth sooner."""
    order = query.orders[0] if len(query.orders) == 1 else None
    if is_by_metric and order is not None and order.entity == METRIC:
        # A walk in the order of a metric keeps to what is asked of it, and stops when the page is full.
        own = [walk for walk in walks if walk.metric == order.key]
        if own and _rarest(link, own, most=_FEW)[0] is not None:
            return None
        rare, count = _rarest(link, [walk for walk in walks if walk.metric != order.key])
        is_own_rarer = rare is not None and _rarest(link, own, most=count)[0] is not None
        return None if is_own_rarer else rare
    rare, count = _rarest(link, walks)
    return None if rare is not None and _is_walk_shorter(link, count, query) else rare


def _rarest(link: Link, walks: Sequence[Walk], *, most: int = _RARE) -> tuple[Walk | None, int]:
    """Return the walk with the fewest rows and their number, if they are few; no database has statistics per key."""
    best, size = None, most
    for walk in walks:
        limit = size if walk.table == "metric" else min(size, _RARE_TEXT)
        row = link.one(
            f"select count(*) from (select 1 from {walk.table} x where {walk.probe.sql} limit {limit}) as found",  # noqa: S608  # ours
            walk.probe.values,
        )
        count = 0 if row is None else int(row[0])
        if count < limit:
            best, size = walk, count
            if count == 0:
                break
    return best, size


def _is_walk_shorter(link: Link, count: int, query: Query) -> bool:
    """Say whether walking in the wanted order meets a page's worth of these runs before `count` of them are sorted."""
    if len(query.orders) > 1 or any(order.entity != METRIC for order in query.orders):
        return False
    return _most_runs(link) < count * count // query.limit  # page / (count / all) < count


def _most_runs(link: Link) -> int:
    """Return how many runs there may be, without counting them."""
    row = link.one("select max(id) from run")
    return 0 if row is None else int(row[0] or 0)


def _plans(link: Link, query: Query, asked: _Asked, rare: Walk | None) -> list[_Plan]:
    scope = Condition(
        f"r.exp in ({marks(len(query.exps))}) and r.stage in ({marks(len(query.stages))})",
        (*query.exps, *query.stages),
    )
    asked = replace(asked, plain=(scope, *asked.plain))
    if rare is not None:
        start = _started(link, rare)
        return [_joined(link, query, start, asked.tests())]
    first = query.orders[0] if query.orders else None
    if first is not None and first.entity == METRIC and len(query.orders) == 1:
        ids = key_ids(link, query.exps, kind=ENTITY_KINDS[METRIC], name=first.key)
        if not ids:
            return [_lacking(asked.tests(), None, is_ascending=first.is_ascending)]
        if len(ids) == 1:
            return _metric_walks(link, ids[0], query, asked=asked)
    return [_joined(link, query, Condition("run r"), asked.tests())]


def _started(link: Link, walk: Walk) -> Condition:
    # CROSS JOIN (SQLite) and LATERAL with OFFSET 0 (PostgreSQL) keep the planner from turning the walk round.
    if link.is_sqlite:
        sql = f"{walk.table} x cross join run r on r.id = x.run and {walk.inner.sql}"
    else:
        inner = f"(select * from {walk.table} x where {walk.inner.sql} offset 0) x"  # noqa: S608  # our own names
        sql = f"{inner} cross join lateral (select * from run where run.id = x.run offset 0) r"  # noqa: S608  # ours
    return Condition(sql, walk.inner.values)


def _metric_walks(link: Link, key: int, query: Query, *, asked: _Asked) -> list[_Plan]:
    """Numbers by the index, then NaN, then the runs that lack the key: each only if the page is not full yet."""
    order = query.orders[0]
    of_key, has_key = Condition("m.key = ?", (key,)), Condition("x.key = ?", (key,))
    tests = asked.tests("m.run")  # told by the metric's row: the run's own is looked up for those that pass
    # What the filter says of the same metric bounds the walk.
    bounds = [
        compared(link, "m.value", clause.op, clause.value)
        for clause in query.clauses
        if (clause.entity, clause.key) == (METRIC, order.key) and clause.op != "!="
    ]
    inner = " and ".join([of_key.sql, "m.nan = false", *(bound.sql for bound in bounds)])
    numbers = Condition(inner, (key, *(value for bound in bounds for value in bound.values)))
    nans = Condition(f"{of_key.sql} and m.nan = true", of_key.values)
    keys = (("0", True), ("m.value", order.is_ascending), *_NEWEST)
    if bounds:  # the walk keeps to them, and what is no number is outside of them
        others = tuple(test for test in tests if test.metric != order.key)
        return [_Plan(_ordered_start(link, numbers), others, keys)]
    return [
        _Plan(_ordered_start(link, numbers), tests, keys),
        _Plan(_ordered_start(link, nans), tests, (("1", True), ("0", True), *_NEWEST)),
        _lacking(asked.tests(), Walk("metric", has_key, has_key)),
    ]


def _ordered_start(link: Link, inner: Condition) -> Condition:
    if link.is_sqlite:
        return Condition(f"metric m cross join run r on r.id = m.run and {inner.sql}", inner.values)
    return Condition(f"metric m join run r on r.id = m.run and {inner.sql}", inner.values)


def _lacking(tests: tuple[Condition, ...], walk: Walk | None, *, is_ascending: bool = True) -> _Plan:
    # All alike here; but runs of other experiments are merged with these by the same way of sorting.
    absent = () if walk is None else (having(walk, is_absent=True),)
    return _Plan(Condition("run r"), (*tests, *absent), (("2", True), ("0", is_ascending), *_NEWEST))


def _joined(link: Link, query: Query, start: Condition, tests: tuple[Condition, ...]) -> _Plan:
    """Sort by anything: each sort key becomes a rank (number, NaN, missing) and a value that is never empty."""
    sql, values = start.sql, list(start.values)
    keys: list[tuple[str, bool]] = []
    for index, order in enumerate(query.orders):
        if order.entity == ATTRIBUTE:
            keys += _attribute_keys(link, order)
            continue
        kind = ENTITY_KINDS.get(order.entity)
        if kind is None:
            raise UsageError(f"Invalid identifier type '{order.entity}'")
        ids = key_ids(link, query.exps, kind=kind, name=order.key)
        if not ids:
            continue
        alias, table = f"o{index}", "metric" if order.entity == METRIC else "text"
        sql += f" left join {table} {alias} on {alias}.run = r.id and {alias}.key in ({marks(len(ids))})"
        values += ids
        keys += _value_keys(link, alias, order)
    return _Plan(Condition(sql, tuple(values)), tests, (*keys, *_NEWEST))


def _attribute_keys(link: Link, order: Order) -> list[tuple[str, bool]]:
    column = run_column(link, order.key)
    if order.key == "end_time":
        return [
            ("case when r.end_time is null then 1 else 0 end", True),
            ("coalesce(r.end_time, 0)", order.is_ascending),
        ]
    is_text = order.key != "start_time"
    return [(_collated(link, column) if is_text else column, order.is_ascending)]


def _value_keys(link: Link, alias: str, order: Order) -> list[tuple[str, bool]]:
    if order.entity == METRIC:
        rank = f"case when {alias}.run is null then 2 when {alias}.nan = true then 1 else 0 end"
        return [(rank, True), (f"coalesce({alias}.value, 0.0)", order.is_ascending)]
    rank = f"case when {alias}.run is null then 1 else 0 end"
    return [(rank, True), (_collated(link, f"coalesce({alias}.value, '')"), order.is_ascending)]


def _collated(link: Link, expression: str) -> str:
    return expression if link.is_sqlite else f'({expression}) collate "C"'


def _walked(link: Link, plan: _Plan, after: tuple[Any, ...], limit: int) -> list[Row]:
    values: list[Any] = list(plan.start.values)
    where: list[str] = []
    for test in plan.tests:
        where.append(test.sql)
        values += test.values
    if after:
        if len(after) != len(plan.keys):
            raise _bad_token()
        rest = _after(plan.keys, after)
        if rest is NEVER:
            return []
        where.append(rest.sql)
        values += rest.values
    columns = ", ".join(expression for expression, _ in plan.keys)
    # A constant in ORDER BY would be a column's number.
    order = ", ".join(f"{e} {'asc' if up else 'desc'}" for e, up in plan.keys if not _is_constant(e))
    return link.all(
        f"select r.id, {columns} from {plan.start.sql} where {' and '.join(where)} order by {order} limit ?",  # noqa: S608  # bound
        [*values, limit],
    )


def _after(keys: Sequence[tuple[str, bool]], after: tuple[Any, ...]) -> Condition:
    """Return the condition that a row comes after the last one of the page before."""
    parts: list[str] = []
    values: list[Any] = []
    same: list[str] = []
    same_values: list[Any] = []
    for (expression, is_ascending), last in zip(keys, after, strict=True):
        if _is_constant(expression):
            constant = float(expression)
            if not isinstance(last, (int, float)):
                raise _bad_token()
            if constant > last and not same:
                return Condition("1 = 1")  # this walk has not begun yet
            if constant < last and not same:
                return NEVER  # this walk is over
            continue
        if isinstance(last, str) != _is_text(expression):
            raise _bad_token()
        parts.append(" and ".join([*same, f"{expression} {'>' if is_ascending else '<'} ?"]))
        values += [*same_values, last]
        same.append(f"{expression} = ?")
        same_values.append(last)
    bound = _first_bound(keys, after)
    return Condition(f"{bound.sql}({' or '.join(f'({part})' for part in parts)})", (*bound.values, *values))


def _first_bound(keys: Sequence[tuple[str, bool]], after: tuple[Any, ...]) -> Condition:
    """Repeat the first sort key as a plain bound, which an index can start from."""
    for (expression, is_ascending), last in zip(keys, after, strict=True):
        if not _is_constant(expression):
            return Condition(f"{expression} {'>=' if is_ascending else '<='} ? and ", (last,))
    return Condition("")


def _is_constant(expression: str) -> bool:
    return expression[0].isdigit()


def _is_text(expression: str) -> bool:
    names = ("r.uuid", "r.name", "r.user_id", "r.status", "artifact_location", "''")
    return any(name in expression for name in names)


def _token(keys: Sequence[Any]) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(list(keys))).decode()


def _read_token(token: str) -> tuple[Any, ...]:
    if not token:
        return ()
    try:
        found = msgspec.json.decode(base64.b64decode(token.encode(), altchars=b"-_", validate=True))
    except (ValueError, RecursionError):
        raise UsageError("Invalid page token, could not base64-decode") from None
    is_good = isinstance(found, list) and bool(found) and all(_is_key(each) for each in found)
    if not is_good:
        raise _bad_token()
    return tuple(found)


def _is_key(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" not in value
    return isinstance(value, float) or (type(value) is int and -(2**63) <= value < 2**63)


def _bad_token() -> UsageError:
    return UsageError("Invalid page token, it does not belong to this search")

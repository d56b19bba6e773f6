"""Which experiments a search finds. There are few of them beside runs, so they are filtered as records."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any

from headway.auth.visible import EVERYTHING
from headway.errors import UsageError
from headway.tracking.limits import experiment_number
from headway.tracking.model import Experiment, Page
from headway.tracking.offsets import read_offset, write_offset
from headway.tracking.search import EXPERIMENTS, TAG, Clause, Order, parse_filter, parse_orders

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.auth.visible import Sight
    from headway.tracking.experiments import ExperimentStore

_MOST = 50_000


def search_experiments(
    store: ExperimentStore,
    *,
    stages: Sequence[str],
    max_results: int = 1000,
    filter_text: str = "",
    order_by: Sequence[str] = (),
    token: str = "",
    only: str | None = None,
    sight: Sight = EVERYTHING,
) -> Page:
    """Return one page of the experiments in sight; `only` keeps the caller to one of them."""
    if max_results < 1:
        raise UsageError(
            f"Invalid value {max_results} for parameter 'max_results' supplied. It must be a positive integer",
        )
    if max_results > _MOST:
        raise UsageError(
            f"Invalid value {max_results} for parameter 'max_results' supplied. It must be at most {_MOST}",
        )
    clauses = parse_filter(filter_text, EXPERIMENTS)
    for clause in clauses:
        _check(clause)
    offset = read_offset(token)
    found = [each for each in store.all(stages, sight=sight) if all(matches(each, clause) for clause in clauses)]
    if only is not None:
        found = [each for each in found if each.id == only]
    found = _sorted(found, order_by)
    end = offset + max_results
    more = write_offset(end) if end < len(found) else ""
    return Page(items=tuple(found[offset:end]), next_token=more)


def _check(clause: Clause) -> None:
    if clause.key == "experiment_id" and clause.entity != TAG:
        if clause.op not in ("=", "!=", "IN", "NOT IN"):
            raise UsageError(f"Invalid comparator for experiment_id: {clause.op}")
        for value in clause.value if isinstance(clause.value, tuple) else (clause.value,):
            experiment_number(str(value))
    if isinstance(clause.value, float):
        raise UsageError(f"Invalid value for numeric attribute '{clause.key}': '{clause.value}'")


def matches(experiment: Experiment, clause: Clause) -> bool:
    """Say whether an experiment satisfies one clause; a missing tag satisfies IS NULL only."""
    if clause.entity == TAG:
        have: Any = experiment.tags.get(clause.key)
    elif clause.key == "experiment_id":
        have = experiment.id
    else:
        have = getattr(experiment, clause.key)
    if clause.op in ("IS NULL", "IS NOT NULL"):
        return (have is None) == (clause.op == "IS NULL")
    return have is not None and compare(have, clause.op, clause.value)


def compare(have: Any, op: str, want: Any) -> bool:
    """Compare as the search language does."""
    if op in ("LIKE", "ILIKE"):
        return like(want, is_exact=op == "LIKE").match(have) is not None
    if op in ("IN", "NOT IN"):
        return (have in want) == (op == "IN")
    if op in ("=", "!="):
        return bool(have == want) == (op == "=")
    if op in (">", ">="):
        return bool(have > want or (op == ">=" and have == want))
    return bool(have < want or (op == "<=" and have == want))


@functools.lru_cache(maxsize=256)
def like(pattern: str, *, is_exact: bool) -> re.Pattern[str]:
    """Return a LIKE pattern as a regular expression."""
    first, *others = [
        "".join("." if letter == "_" else re.escape(letter) for letter in part)
        for part in re.sub("%+", "%", pattern).split("%")
    ]
    # Where the piece after a wildcard fits first is as good a place as any, so it is never looked for again: with
    # trying every combination, `%a%a%a%b` on a long text of a's would hold the server for years.
    middle = "".join(f"(?>.*?{part})" for part in others[:-1])
    last = rf".*?{others[-1]}" if others else ""
    return re.compile(rf"{first}{middle}{last}\Z", re.DOTALL | (re.NOFLAG if is_exact else re.IGNORECASE))


def _sorted(found: list[Experiment], order_by: Sequence[str]) -> list[Experiment]:
    orders = parse_orders(order_by, EXPERIMENTS)
    for order in orders:
        if order.entity == TAG:
            raise UsageError(f"Invalid order_by entity: {order.entity}")
    last = Order("attribute", "experiment_id", is_ascending=not orders)
    orders = orders or (Order("attribute", "creation_time", is_ascending=False),)
    for order in reversed((*orders, last)):
        found = sorted(found, key=functools.partial(_sort_key, order.key), reverse=not order.is_ascending)
    return found


def _sort_key(key: str, experiment: Experiment) -> Any:
    return int(experiment.id) if key == "experiment_id" else getattr(experiment, key)

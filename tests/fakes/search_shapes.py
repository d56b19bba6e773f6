"""The shapes of a search whose growth is measured: each finds the same number of runs however many there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fakes.many_runs import Filled, contents


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One way to search.

    In the filter `{rare}` is the f1 that ten runs are above, `{commit}` and `{name}` are one run's.
    """

    name: str
    filter: str = ""
    order_by: tuple[str, ...] = ()
    limit: int = 100
    is_wide: bool = False  # in the experiment of 1,000 keys
    is_both: bool = False  # in both experiments
    is_deep: bool = False  # the last page instead of the first
    is_walk: bool = False  # known to look at every run of the experiment

    def body(self, filled: dict[str, Any]) -> dict[str, Any]:
        """Return the request."""
        names = ("narrow", "wide") if self.is_both else ("wide",) if self.is_wide else ("narrow",)
        return {
            "experiment_ids": [filled[name] for name in names],
            "filter": self.filter.format(**filled),
            "order_by": list(self.order_by),
            "max_results": self.limit,
        }


def filled_values(filled: Filled) -> dict[str, Any]:
    """Return what the shapes put into their requests."""
    one = next(contents(filled.runs))
    return {
        "narrow": filled.narrow,
        "wide": filled.wide,
        "rare": 1 - 10 / filled.runs,
        "commit": one.tags["commit"],
        "name": one.name,
    }


SHAPES = (
    Shape(name="first page, 1,000 runs", limit=1000),
    Shape(name="first page, 100 runs"),
    Shape(name="last page, 100 runs", is_deep=True),
    Shape(
        name="metric and param, by metric",
        filter="metrics.f1 > 0.9 and params.model = 'a'",
        order_by=("metrics.f1 DESC",),
    ),
    Shape(name="by metric", order_by=("metrics.f1 DESC",)),
    Shape(name="selective metric (10 runs)", filter="metrics.f1 > {rare}"),
    Shape(name="selective tag (1 run)", filter="tags.commit = '{commit}'"),
    Shape(name="broad metric (9 of 10 runs)", filter="metrics.f1 > 0.1"),
    Shape(name="three broad clauses", filter="metrics.f1 > 0.3 and metrics.metric_0 < 0.7 and params.model != 'a'"),
    Shape(name="tag LIKE", filter="tags.team LIKE 'vis%'"),
    Shape(name="status, most runs", filter="attributes.status = 'FINISHED'"),
    Shape(name="status, no run", filter="attributes.status = 'FAILED'"),
    Shape(name="run name", filter="attributes.run_name = '{name}'"),
    Shape(name="oldest first", order_by=("attributes.start_time ASC",)),
    Shape(name="1,000 keys, first page", is_wide=True),
    Shape(
        name="1,000 keys, by metric",
        filter="metrics.`layer_7/norm` > 0.5",
        order_by=("metrics.`layer_7/norm` DESC",),
        is_wide=True,
    ),
    Shape(name="two experiments, first page", is_both=True),
    Shape(
        name="two experiments, by metric",
        filter="metrics.f1 > 0.1",
        order_by=("metrics.f1 DESC",),
        is_both=True,
    ),
    Shape(name="by param", order_by=("params.model ASC",), is_walk=True),
)

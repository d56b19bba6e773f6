"""What a search costs a database without a clock: the plans of its statements, and the steps of SQLite's machine."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from headway.tracking.find import Query, find_runs
from headway.tracking.link import Link
from headway.tracking.search import parse_filter, parse_orders

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.db.connection import Database

BIG = ("run", "metric", "text", "run_doc", "tail", "chunk", "event")
# A table that is read from its first row to its last. An index that is walked in the wanted order is not.
_SCANS = (
    re.compile(rf"^SCAN (?:{'|'.join(BIG)}|[rxo]\d*)(?! USING)\b"),
    re.compile(rf"Seq Scan on (?:{'|'.join(BIG)})\b"),
)


class Explaining(Link):
    """A link that keeps the plan of each statement."""

    __slots__ = ("plans",)

    def __init__(self, tx: Any) -> None:
        """Take the connection of `tx`."""
        super().__init__(tx)
        self.plans: list[tuple[str, list[str]]] = []

    def run(self, sql: str, values: Sequence[Any] = ()) -> Any:
        """Explain, then execute."""
        word = "explain query plan" if self.is_sqlite else "explain"
        rows = super().run(f"{word} {sql}", values).fetchall()
        self.plans.append((sql, [str(row[-1]) for row in rows]))
        return super().run(sql, values)


def query_of(body: dict[str, Any]) -> Query:
    """Return the request of a search as the store has it."""
    return Query(
        exps=tuple(int(each) for each in body["experiment_ids"]),
        stages=("active",),
        clauses=parse_filter(body["filter"]),
        orders=parse_orders(body["order_by"]),
        limit=body["max_results"],
        token=body.get("page_token", ""),
    )


def plans_of(database: Database, body: dict[str, Any]) -> tuple[list[dict[str, Any]], list[str]]:
    """Return each statement of a search with its plan, and the lines that read a big table from end to end."""
    with database.read() as tx:
        link = Explaining(tx)
        find_runs(link, query_of(body))
    told = [{"sql": sql, "plan": plan} for sql, plan in link.plans]
    bad = [line for _, plan in link.plans for line in plan if any(scan.search(line) for scan in _SCANS)]
    return told, bad


def steps_of(database: Database, body: dict[str, Any], *, each: int = 10) -> tuple[int, int]:
    """Return how many steps SQLite's machine takes for a search, in tens, and how many runs are found."""
    query, steps = query_of(body), 0

    def count() -> int:
        nonlocal steps
        steps += each
        return 0

    with database.read() as tx:
        raw: Any = tx.connection.driver_connection
        raw.set_progress_handler(count, each)
        try:
            found, _ = find_runs(Link(tx), query)
        finally:
            raw.set_progress_handler(None, 0)
    return steps, len(found)

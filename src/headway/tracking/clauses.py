"""Clauses of the search language as conditions in SQL. Whatever a caller wrote is bound, never spelled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from headway.tracking.link import marks
from headway.tracking.model import KeyKind
from headway.tracking.search import DATASET, METRIC, PARAM, TAG, Clause

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.tracking.link import Link

ENTITY_KINDS = {METRIC: KeyKind.METRIC, PARAM: KeyKind.PARAM, TAG: KeyKind.TAG}
RUN_COLUMNS = {
    "run_id": "r.uuid",
    "run_name": "r.name",
    "user_id": "r.user_id",
    "status": "r.status",
    "start_time": "r.start_time",
    "end_time": "r.end_time",
}
# What stands before a location's question mark, that included; a mark itself is spelled by number, as `?` binds.
_MARKED = "rtrim(e.artifact_location, replace(e.artifact_location, {chr}(63), ''))"
_RUNS_OWN = "'/' || r.uuid || '/artifacts'"
_URI = (
    f"(select case when {_MARKED} = '' then rtrim(e.artifact_location, '/') || {_RUNS_OWN} else "  # noqa: S608  # our own names
    f"rtrim(substr(e.artifact_location, 1, length({_MARKED}) - 1), '/') || {_RUNS_OWN} || "
    f"substr(e.artifact_location, length({_MARKED})) end from experiment e where e.id = r.exp)"
)
_URIS = {True: _URI.format(chr="char"), False: _URI.format(chr="chr")}
_CONTEXT = {
    True: """json_extract(i.tags, '$."mlflow.data.context"')""",
    False: "(i.tags::json ->> 'mlflow.data.context')",
}


class Condition(NamedTuple):
    """A piece of SQL with its bound values."""

    sql: str
    values: tuple[Any, ...] = ()
    metric: str = ""  # whose numbers it compares, if it does nothing else


class Walk(NamedTuple):
    """What a clause over interned keys says of the rows of its table `x`, for starting from them or testing them."""

    table: str  # metric | text
    inner: Condition  # over x.key and x.value
    probe: Condition  # what the index alone can count: at least as many rows
    metric: str = ""  # whose numbers it compares, if it does nothing else
    fence: str = ""  # keeps PostgreSQL from turning a test of each run into a join of all of them


NEVER = Condition("1 = 0")


def key_ids(link: Link, exps: Sequence[int], *, kind: KeyKind, name: str) -> list[int]:
    """Return the ids that a name has in these experiments."""
    rows = link.each("select id from key where kind = ? and name = ? and exp in (??)", exps, before=(int(kind), name))
    return sorted(row[0] for row in rows)


def compared(link: Link, column: str, op: str, value: Any) -> Condition:
    """Return a comparison of one text or number column."""
    if op in ("IN", "NOT IN"):
        return Condition(f"{column} {op.lower()} ({marks(len(value))})", tuple(value))
    if op in ("LIKE", "ILIKE"):
        lower = link.lowering(value)
        column, place = (f"{lower}({column})", f"{lower}(?)") if op == "ILIKE" else (column, "?")
        # SQLite has no escape character unless it is given one; PostgreSQL has the backslash unless it is taken away.
        return Condition(f"{column} like {place}" + ("" if link.is_sqlite else " escape ''"), (value,))
    return Condition(f"{column} {'<>' if op == '!=' else op} ?", (value,))


def walk_of(link: Link, clause: Clause, exps: Sequence[int]) -> Walk | None:
    """Return the rows that satisfy a clause over interned keys; None when no run has the key at all."""
    found = _walk_of(link, clause, exps)
    return found if found is None or link.is_sqlite else found._replace(fence=" offset 0")


def _walk_of(link: Link, clause: Clause, exps: Sequence[int]) -> Walk | None:
    ids = key_ids(link, exps, kind=ENTITY_KINDS[clause.entity], name=clause.key)
    if not ids:
        return None
    keys = Condition(f"x.key in ({marks(len(ids))})", tuple(ids))
    if clause.entity == METRIC:
        test = compared(link, "x.value", clause.op, clause.value)
        # NaN compares as unequal to everything, and as nothing else.
        sql = f"(x.nan = true or {test.sql})" if clause.op == "!=" else f"x.nan = false and {test.sql}"
        inner = Condition(f"{keys.sql} and {sql}", keys.values + test.values)
        return Walk("metric", inner, inner, "" if clause.op == "!=" else clause.key)
    if clause.op in ("IS NULL", "IS NOT NULL"):
        return Walk("text", keys, keys)
    if clause.op != "=":
        test = compared(link, "x.value", clause.op, clause.value)
        return Walk("text", Condition(f"{keys.sql} and {test.sql}", keys.values + test.values), keys)
    test = compared(link, exact_value(link), clause.op, clause.value)
    # The index has the beginning of the value.
    head = Condition(f"{keys.sql} and substr(x.value, 1, 200) = substr(?, 1, 200)", (*keys.values, clause.value))
    return Walk("text", Condition(f"{head.sql} and {test.sql}", head.values + test.values), head)


def exact_value(link: Link, column: str = "x.value") -> str:
    """Return the column to compare a text with, beside its beginning in the index.

    Of a bare column that equals a constant, SQLite puts the constant everywhere else too, and `substr(column)`, which
    the index is on, is gone.
    """
    return f"+{column}" if link.is_sqlite else column


def having(walk: Walk, run: str = "r.id", *, is_absent: bool = False) -> Condition:
    """Return the condition that the run whose id this expression has, has or lacks such a row."""
    word = "not exists" if is_absent else "exists"
    return Condition(
        f"{word} (select 1 from {walk.table} x where x.run = {run} and {walk.inner.sql}{walk.fence})",  # noqa: S608  # our own names
        walk.inner.values,
        "" if is_absent else walk.metric,
    )


def run_column(link: Link, name: str) -> str:
    """Return the expression behind an attribute of run `r`."""
    return _URIS[link.is_sqlite] if name == "artifact_uri" else RUN_COLUMNS[name]


def attribute_test(link: Link, clause: Clause) -> Condition:
    """Return the condition on a column of the run itself."""
    return compared(link, run_column(link, clause.key), clause.op, clause.value)


def dataset_test(link: Link, clause: Clause) -> Condition:
    """Return the condition that run `r` read such a dataset."""
    column = {"name": "d.name", "digest": "d.digest", "context": _CONTEXT[link.is_sqlite]}[clause.key]
    test = compared(link, column, clause.op, clause.value)
    return Condition(
        "exists (select 1 from run_input i join dataset d on d.id = i.dataset "  # noqa: S608  # our own names
        f"where i.run = r.id and {test.sql})",
        test.values,
    )


def is_keyed(clause: Clause) -> bool:
    """Say whether a clause is about a metric, a param or a tag."""
    return clause.entity in ENTITY_KINDS


def plain_test(link: Link, clause: Clause) -> Condition:
    """Return the condition of a clause that is not about keys."""
    return dataset_test(link, clause) if clause.entity == DATASET else attribute_test(link, clause)

"""The search language: `metrics.f1 > 0.9 and params.model = 'a'` to clauses. Pure; `find.py` makes SQL of them.

AND-joined comparisons, no OR, no NOT, no brackets but those of IN lists. Keys with other characters stand in backticks
or double quotes. Keys and values are data from here on: they reach the database as bound parameters only.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from headway.errors import UsageError
from headway.tracking.pieces import Comparison, Piece, comparisons_of, pieces_of, split_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MAX_BYTES = 4096
MAX_TERMS = 50

METRIC, PARAM, TAG, ATTRIBUTE, DATASET = "metric", "parameter", "tag", "attribute", "dataset"
_NUMERIC_OPS = frozenset({">", ">=", "!=", "=", "<", "<="})
_TEXT_OPS = frozenset({"!=", "=", "LIKE", "ILIKE", "IS NULL", "IS NOT NULL"})
_LIST_OPS = frozenset({"!=", "=", "LIKE", "ILIKE", "IN", "NOT IN"})
_DATASET_KEYS = frozenset({"name", "digest", "context"})

# What a clause compares with: a number, a text, the texts of a list, or nothing (IS NULL).
Value = float | int | str | tuple[str, ...] | None


class Clause(NamedTuple):
    """One comparison."""

    entity: str
    key: str
    op: str
    value: Value


class Order(NamedTuple):
    """One sort key."""

    entity: str
    key: str
    is_ascending: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Grammar:
    """Which entities and attributes one kind of search knows."""

    entities: dict[str, str]  # every spelling -> entity
    attributes: frozenset[str]
    numeric: frozenset[str]
    lists: frozenset[str]  # attributes that IN and NOT IN may be asked of
    order_attributes: frozenset[str]
    aliases: dict[str, str] = field(default_factory=dict)  # other spellings of attributes


RUNS = Grammar(
    entities={
        **dict.fromkeys(("metric", "metrics"), METRIC),
        **dict.fromkeys(("parameter", "parameters", "param", "params"), PARAM),
        **dict.fromkeys(("tag", "tags"), TAG),
        **dict.fromkeys(("attribute", "attributes", "attr", "run"), ATTRIBUTE),
        **dict.fromkeys(("dataset", "datasets"), DATASET),
    },
    attributes=frozenset({"status", "artifact_uri", "start_time", "user_id", "end_time", "run_name", "run_id"}),
    numeric=frozenset({"start_time", "end_time"}),
    lists=frozenset({"run_id"}),
    order_attributes=frozenset({"status", "artifact_uri", "start_time", "user_id", "end_time", "run_name", "run_id"}),
    aliases={
        "created": "start_time",
        "Created": "start_time",
        "run name": "run_name",
        "Run name": "run_name",
        "Run Name": "run_name",
    },
)
EXPERIMENTS = Grammar(
    entities={"attribute": ATTRIBUTE, "tag": TAG, "tags": TAG},
    attributes=frozenset({"name", "experiment_id", "creation_time", "last_update_time"}),
    numeric=frozenset({"creation_time", "last_update_time"}),
    lists=frozenset({"experiment_id"}),
    order_attributes=frozenset({"name", "experiment_id", "creation_time", "last_update_time"}),
)


def parse_filter(text: str, grammar: Grammar = RUNS) -> tuple[Clause, ...]:
    """Read a filter; an empty one has no clauses.

    Raises:
        UsageError: it is longer than 4 KB, has more than 50 comparisons, or breaks the grammar.
    """
    if len(text.encode("utf-8", "replace")) > MAX_BYTES:
        raise UsageError(f"The filter string is longer than {MAX_BYTES} bytes.")
    comparisons, others = comparisons_of(text)
    ends = [piece for piece in others if piece.text == ";"]
    if ends and text[ends[0].end :].strip():
        raise UsageError(f"Search filter contained multiple expression {text!r}. Provide AND-ed expression list.")
    if others:
        raise _invalid([piece.text for piece in others], grammar)
    if len(comparisons) > MAX_TERMS:
        raise UsageError(f"The filter string has {len(comparisons)} comparisons; at most {MAX_TERMS} are allowed.")
    clauses = tuple(_clause(comparison, grammar) for comparison in comparisons)
    for clause in clauses:  # last, as MLflow does: what is wrong with a value is said first
        _check_operator(clause, grammar)
    return clauses


def parse_order(text: str, grammar: Grammar = RUNS) -> Order:
    """Read one `entity.key [ASC|DESC]`."""
    tokens = pieces_of(text) if len(text) <= MAX_BYTES else []
    if len(tokens) not in (1, 2) or tokens[0].kind != "name":
        raise UsageError(f"Invalid order_by clause '{text[:300]}'. Could not be parsed.")
    direction = tokens[1].text.lower() if len(tokens) == 2 else "asc"
    if direction not in ("asc", "desc"):
        raise UsageError(f"Invalid ordering key in order_by clause '{text}'.")
    entity, key = _identifier(tokens[0].text, grammar, grammar.order_attributes | set(grammar.aliases))
    return Order(entity, grammar.aliases.get(key, key) if entity == ATTRIBUTE else key, direction == "asc")


def parse_orders(texts: Sequence[str], grammar: Grammar = RUNS) -> tuple[Order, ...]:
    """Read a list of sort keys, each of which may stand there once."""
    if len(texts) > MAX_TERMS:
        raise UsageError(f"`order_by` has {len(texts)} fields; at most {MAX_TERMS} are allowed.")
    orders = tuple(parse_order(text, grammar) for text in texts)
    if len({(order.entity, order.key) for order in orders}) < len(orders):
        raise UsageError(f"`order_by` contains duplicate fields: {list(texts)}")
    return orders


@functools.lru_cache(maxsize=128)
def filter_of_runs(text: str) -> tuple[Clause, ...]:
    """Read a filter of runs; whoever turns pages or looks again sends the same one each time."""
    return parse_filter(text)


@functools.lru_cache(maxsize=128)
def orders_of_runs(texts: tuple[str, ...]) -> tuple[Order, ...]:
    """Read sort keys of runs."""
    return parse_orders(texts)


def _clause(comparison: Comparison, grammar: Grammar) -> Clause:
    left, op, right, shown = comparison
    if left.kind != "name":
        raise UsageError(f"Invalid comparison clause. Expected 'Identifier' found '{left.text}'")
    entity, key = _identifier(left.text, grammar, grammar.attributes | set(grammar.aliases))
    if entity == ATTRIBUTE:
        key = grammar.aliases.get(key, key)
    if op in ("IS NULL", "IS NOT NULL"):
        return _null_clause(entity, key, op)
    value: Value = _list(entity, key, comparison, grammar) if len(right) > 1 else _value(entity, key, right[0], grammar)
    if isinstance(value, tuple) and op not in ("IN", "NOT IN"):
        raise _invalid([f"{left.text} {op} {shown}"], grammar)
    return Clause(entity, key, op, value)


def _null_clause(entity: str, key: str, op: str) -> Clause:
    if entity not in (TAG, PARAM):
        raise UsageError(f"IS NULL / IS NOT NULL is only supported for tags and params, not for '{entity}' '{key}'")
    return Clause(entity, key, op, None)


def _identifier(text: str, grammar: Grammar, attributes: frozenset[str] | set[str]) -> tuple[str, str]:
    head, dot, key = split_name(text)
    entity = ATTRIBUTE
    if dot:
        found = grammar.entities.get(_bare(head, "`"))
        if found is None:
            raise UsageError(f"Invalid entity type '{_bare(head, '`')}'. {_valid_entities(grammar)}")
        entity = found
    else:
        key = head
    key = _bare(_bare(_bare(key, "'"), '"'), "`")
    if entity == ATTRIBUTE and key not in attributes:
        raise UsageError(f"Invalid attribute key '{key}' specified. Valid keys are '{_set(attributes)}'")
    if entity == DATASET and key not in _DATASET_KEYS:
        raise UsageError(f"Invalid dataset key '{key}' specified. Valid keys are '{_set(_DATASET_KEYS)}'")
    return entity, key


def _valid_entities(grammar: Grammar) -> str:
    if grammar is EXPERIMENTS:
        return f"Valid entity types are {tuple(grammar.entities)}"
    return f"Valid values are {list(dict.fromkeys(grammar.entities.values()))}"


def _bare(text: str, quote: str) -> str:
    if len(text) >= 2 and text[0] == text[-1] == quote and quote not in text[1:-1]:
        return text[1:-1]
    return text


def _value(entity: str, key: str, token: Piece, grammar: Grammar) -> Value:
    if entity == METRIC or (entity == ATTRIBUTE and key in grammar.numeric):
        if token.kind == "number":
            return _number(token.text, is_metric=entity == METRIC)
        what = "metric" if entity == METRIC else f"numeric attribute: {key}"
        raise UsageError(f"Expected numeric value type for {what}. Found {token.text}")
    if token.kind == "string":
        return token.text[1:-1]
    if token.kind == "name":
        if _bare(token.text, '"') != token.text:
            return token.text[1:-1]
        raise UsageError(
            "Parameter value is either not quoted or unidentified quote types used for string value "
            f"{token.text}. Use either single or double quotes.",
        )
    if entity in (PARAM, TAG):
        raise UsageError(f"Expected a quoted string value for {entity} (e.g. 'my-value'). Got value {token.text}")
    what = "dataset attributes" if entity == DATASET else "attributes"
    raise UsageError(f"Expected a quoted string value for {what}. Got value {token.text}")


def _number(text: str, *, is_metric: bool) -> float | int:
    value = float(text)
    if is_metric or not text.lstrip("-").isdigit():
        return max(min(value, 1.7976931348623157e308), -1.7976931348623157e308)
    return max(min(int(text), 2**63 - 1), -(2**63))


def _list(entity: str, key: str, comparison: Comparison, grammar: Grammar) -> tuple[str, ...]:
    if entity == METRIC:
        raise UsageError(f"Expected numeric value type for metric. Found {comparison.shown}")
    if entity == ATTRIBUTE and key in grammar.numeric:
        raise UsageError(f"Expected numeric value type for numeric attribute: {key}. Found {comparison.shown}")
    if entity == ATTRIBUTE and key not in grammar.lists:
        raise UsageError(
            f"Only {sorted(grammar.lists)} attributes support comparison with a list of quoted string values.",
        )
    if entity not in (ATTRIBUTE, DATASET):
        raise UsageError(
            f"Expected a quoted string value for {entity} (e.g. 'my-value'). Got value {comparison.shown}",
        )
    inner = comparison.right[1:-1]
    if not inner:
        raise UsageError(
            "While parsing a list in the query, expected a non-empty list of string values, but got empty list",
        )
    values = inner[::2]
    if any(piece.text != "," for piece in inner[1::2]) or any(piece.text == "," for piece in values):
        raise UsageError(
            "While parsing a list in the query, expected a non-empty list of string values, but got ill-formed list.",
        )
    texts = [piece for piece in values if piece.kind == "string" or _bare(piece.text, '"') != piece.text]
    if len(texts) != len(values):
        raise UsageError(
            "While parsing a list in the query, expected string value, punctuation, or whitespace, "
            f"but got different type in list: {comparison.shown}",
        )
    return tuple(piece.text[1:-1] for piece in texts)


def _check_operator(clause: Clause, grammar: Grammar) -> None:
    allowed = {METRIC: _NUMERIC_OPS, PARAM: _TEXT_OPS, TAG: _TEXT_OPS, DATASET: _LIST_OPS}.get(clause.entity)
    if allowed is None:
        allowed = _NUMERIC_OPS if clause.key in grammar.numeric else _LIST_OPS
    if clause.op not in allowed:
        raise UsageError(f"Invalid comparator '{clause.op}' not one of '{_set(allowed)}'")


def _invalid(texts: Sequence[str], grammar: Grammar) -> UsageError:
    quote = "" if grammar is EXPERIMENTS else "'"
    listed = ", ".join(f"{quote}{text}{quote}" for text in texts)
    return UsageError(f"Invalid clause(s) in filter string: {listed}")


def _set(names: Iterable[str]) -> str:
    return "{" + ", ".join(repr(name) for name in sorted(names)) + "}"

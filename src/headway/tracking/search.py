"""The search language: `metrics.f1 > 0.9 and params.model = 'a'` to clauses. Pure; `find.py` makes SQL of them.

AND-joined comparisons, no OR, no NOT, no brackets but those of IN lists. Keys with other characters stand in backticks
or double quotes. Keys and values are data from here on: they reach the database as bound parameters only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from headway.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

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

_PART = r'(?:`[^`]*`|"[^"]*"|[^\W\d][\w$#]*)'
_NEXT = r'(?:`[^`]*`|"[^"]*"|[\w$#]+)'
_TOKEN = re.compile(
    rf"""(?P<space>\s+)
    |(?P<number>-?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
    |(?P<string>'[^']*(?:''[^']*)*')
    |(?P<name>{_PART}(?:\.{_NEXT})*)
    |(?P<op><=|>=|!=|<>|=|<|>)
    |(?P<mark>[(),;])
    |(?P<bad>.)""",
    re.VERBOSE | re.DOTALL,
)
_KEYWORDS = frozenset({"AND", "LIKE", "ILIKE", "IN", "NOT", "IS", "NULL"})


class _Token(NamedTuple):
    kind: str  # number | string | name | op | word | mark | bad
    text: str


def parse_filter(text: str, grammar: Grammar = RUNS) -> tuple[Clause, ...]:
    """Read a filter; an empty one has no clauses.

    Raises:
        UsageError: it is longer than 4 KB, has more than 50 comparisons, or breaks the grammar.
    """
    if len(text.encode("utf-8", "replace")) > MAX_BYTES:
        raise UsageError(f"The filter string is longer than {MAX_BYTES} bytes.")
    terms = _terms(_tokens(text), text)
    if len(terms) > MAX_TERMS:
        raise UsageError(f"The filter string has {len(terms)} comparisons; at most {MAX_TERMS} are allowed.")
    return tuple(_clause(term, grammar) for term in terms)


def parse_order(text: str, grammar: Grammar = RUNS) -> Order:
    """Read one `entity.key [ASC|DESC]`."""
    tokens = _tokens(text) if len(text) <= MAX_BYTES else []
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


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or "bad"
        if kind == "space":
            continue
        word = match.group()
        if kind == "name" and word.upper() in _KEYWORDS:
            kind = "word"
        found.append(_Token(kind, word))
    return found


def _terms(tokens: list[_Token], text: str) -> list[list[_Token]]:
    terms: list[list[_Token]] = [[]]
    for index, token in enumerate(tokens):
        if token.text == ";":
            if index == len(tokens) - 1:
                break
            raise UsageError(
                f"Search filter contained multiple expression {text!r}. Provide AND-ed expression list.",
            )
        if token.kind == "word" and token.text.upper() == "AND":
            terms.append([])
        else:
            terms[-1].append(token)
    return [term for term in terms if term]


def _clause(term: list[_Token], grammar: Grammar) -> Clause:
    head, rest = term[0], term[1:]
    op, rest = _operator(rest)
    if op and head.kind in ("number", "string"):
        raise UsageError(f"Invalid comparison clause. Expected 'Identifier' found '{head.text}'")
    if not op or head.kind != "name":
        raise _invalid(term)
    entity, key = _identifier(head.text, grammar, grammar.attributes | set(grammar.aliases))
    if entity == ATTRIBUTE:
        key = grammar.aliases.get(key, key)
    if op in ("IS NULL", "IS NOT NULL"):
        return _null_clause(entity, key, op, rest=rest)
    if rest and rest[0].text == "(":
        value: Value = _list(entity, key, rest, grammar)
    elif len(rest) == 1:
        value = _value(entity, key, rest[0], grammar)
    else:
        raise _invalid(rest or term)
    _check_operator(entity, key, op, grammar)
    if isinstance(value, tuple) != (op in ("IN", "NOT IN")):
        raise _invalid(term)
    return Clause(entity, key, op, value)


def _null_clause(entity: str, key: str, op: str, *, rest: list[_Token]) -> Clause:
    if rest:
        raise _invalid(rest)
    if entity not in (TAG, PARAM):
        raise UsageError(f"IS NULL / IS NOT NULL is only supported for tags and params, not for '{entity}' '{key}'")
    return Clause(entity, key, op, None)


def _operator(tokens: list[_Token]) -> tuple[str, list[_Token]]:
    words = tuple(token.text.upper() for token in tokens[:3])
    for spelled in (("IS", "NOT", "NULL"), ("IS", "NULL"), ("NOT", "IN"), ("IN",), ("LIKE",), ("ILIKE",)):
        if words[: len(spelled)] == spelled:
            return " ".join(spelled), tokens[len(spelled) :]
    if tokens and tokens[0].kind == "op":
        return ("!=" if tokens[0].text == "<>" else tokens[0].text), tokens[1:]
    return "", tokens


def _identifier(text: str, grammar: Grammar, attributes: frozenset[str] | set[str]) -> tuple[str, str]:
    head, dot, key = _split(text)
    entity = ATTRIBUTE
    if dot:
        found = grammar.entities.get(_bare(head, "`"))
        if found is None:
            valid = list(dict.fromkeys(grammar.entities.values()))
            raise UsageError(f"Invalid entity type '{_bare(head, '`')}'. Valid values are {valid}")
        entity = found
    else:
        key = head
    key = _bare(_bare(key, '"'), "`")
    if entity == ATTRIBUTE and key not in attributes:
        raise UsageError(f"Invalid attribute key '{key}' specified. Valid keys are '{sorted(attributes)}'")
    if entity == DATASET and key not in _DATASET_KEYS:
        raise UsageError(f"Invalid dataset key '{key}' specified. Valid keys are '{sorted(_DATASET_KEYS)}'")
    return entity, key


def _split(text: str) -> tuple[str, str, str]:
    head = re.match(_PART, text)
    end = head.end() if head else 0
    return text[:end], text[end : end + 1], text[end + 1 :]


def _bare(text: str, quote: str) -> str:
    if len(text) >= 2 and text[0] == text[-1] == quote and quote not in text[1:-1]:
        return text[1:-1]
    return text


def _value(entity: str, key: str, token: _Token, grammar: Grammar) -> Value:
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
    if token.kind in ("bad", "mark", "op"):
        raise _invalid([token])
    if entity in (PARAM, TAG):
        raise UsageError(f"Expected a quoted string value for {entity} (e.g. 'my-value'). Got value {token.text}")
    what = "dataset attributes" if entity == DATASET else "attributes"
    raise UsageError(f"Expected a quoted string value for {what}. Got value {token.text}")


def _number(text: str, *, is_metric: bool) -> float | int:
    value = float(text)
    if is_metric or not text.lstrip("-").isdigit():
        return max(min(value, 1.7976931348623157e308), -1.7976931348623157e308)
    return max(min(int(text), 2**63 - 1), -(2**63))


def _list(entity: str, key: str, tokens: list[_Token], grammar: Grammar) -> tuple[str, ...]:
    if entity == ATTRIBUTE and key not in grammar.lists:
        raise UsageError(
            f"Only {sorted(grammar.lists)} attributes support comparison with a list of quoted string values.",
        )
    if entity not in (ATTRIBUTE, DATASET):
        listed = " ".join(token.text for token in tokens)
        raise UsageError(f"Expected a quoted string value for {entity} (e.g. 'my-value'). Got value {listed}")
    inner = tokens[1:-1]
    if not inner and tokens[-1].text == ")":
        raise UsageError(
            "While parsing a list in the query, expected a non-empty list of string values, but got empty list",
        )
    values = inner[::2]
    is_well_formed = tokens[-1].text == ")" and all(token.text == "," for token in inner[1::2])
    if not is_well_formed:
        raise UsageError(
            "While parsing a list in the query, expected a non-empty list of string values, but got ill-formed list.",
        )
    texts = [token for token in values if token.kind == "string" or _bare(token.text, '"') != token.text]
    if len(texts) != len(values):
        found = ", ".join(token.text for token in values)
        raise UsageError(
            "While parsing a list in the query, expected string value, punctuation, or whitespace, "
            f"but got different type in list: ({found})",
        )
    return tuple(token.text[1:-1] for token in texts)


def _check_operator(entity: str, key: str, op: str, grammar: Grammar) -> None:
    allowed = {METRIC: _NUMERIC_OPS, PARAM: _TEXT_OPS, TAG: _TEXT_OPS, DATASET: _LIST_OPS}.get(entity)
    if allowed is None:
        allowed = _NUMERIC_OPS if key in grammar.numeric else _LIST_OPS
    if op not in allowed:
        raise UsageError(f"Invalid comparator '{op}' not one of '{sorted(allowed)}'")


def _invalid(tokens: Sequence[_Token]) -> UsageError:
    listed = " ".join(token.text for token in tokens)
    return UsageError(f"Invalid clause(s) in filter string: '{listed}'")

"""The parser and the published JSON Schema come from one table: they must accept and refuse the same files."""

from __future__ import annotations

import contextlib
import json
import math
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from headway.errors import UsageError
from headway.projects.keys import FILE
from headway.projects.problem import ProjectFileError
from headway.projects.read import read_project
from headway.projects.schema import DIALECT, project_schema
from headway.projects.shapes import Either, Fields, Flag, ListOf, MapOf, Number, Scalar, Shape, Text
from headway.projects.source import read_tree
from headway.projects.take import take
from headway.projects.words import COMPUTED, FAIRNESS, FROM_SCORE
from headway.stats.fairness import FAIRNESS as KNOWN_FAIRNESS
from headway.stats.metrics import METRICS

SCHEMA = project_schema()
_BUILT: dict[int, st.SearchStrategy[Any]] = {}  # by the identity of the shape: the table lives as long as the test
_TYPES = {
    "string": str,
    "number": (int, float),
    "integer": (int, float),
    "boolean": bool,
    "object": dict,
    "array": list,
}
_KNOWN = {
    "$schema", "title", "description", "examples", "type", "enum", "pattern", "minLength", "maxLength", "minimum",
    "exclusiveMinimum", "maximum", "items", "minItems", "maxItems", "properties", "required", "additionalProperties",
    "propertyNames", "minProperties", "maxProperties", "anyOf", "oneOf",
}  # fmt: skip


def accepts(schema: dict[str, Any], value: Any) -> bool:  # noqa: PLR0911  # one keyword after the other
    """Judge a value by the part of JSON Schema 2020-12 that our schema uses, as its specification says."""
    assert set(schema) <= _KNOWN, set(schema) - _KNOWN
    if "enum" in schema and not any(value == each and type(value) is type(each) for each in schema["enum"]):
        return False
    if "type" in schema and not any(_is(value, name) for name in _listed(schema["type"])):
        return False
    if "anyOf" in schema and not any(accepts(each, value) for each in schema["anyOf"]):
        return False
    if "oneOf" in schema and sum(accepts(each, value) for each in schema["oneOf"]) != 1:
        return False
    if isinstance(value, str):
        return _accepts_text(schema, value)
    if isinstance(value, dict):
        return _accepts_object(schema, value)
    if isinstance(value, list):
        has_count = schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", math.inf)
        return has_count and all(accepts(schema.get("items", {}), each) for each in value)
    return _accepts_number(schema, value)


def _listed(types: str | list[str]) -> list[str]:
    return [types] if isinstance(types, str) else types


def _is(value: Any, name: str) -> bool:
    if isinstance(value, bool) or name == "boolean":
        return isinstance(value, bool) and name == "boolean"
    is_type = isinstance(value, _TYPES[name])  # type: ignore[arg-type]
    return is_type and (name != "integer" or float(value).is_integer())


def _accepts_text(schema: dict[str, Any], value: str) -> bool:
    has_length = schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", math.inf)
    # ECMAScript's `$` is the end, Python's also stands before a last line break.
    return has_length and ("pattern" not in schema or re.search(schema["pattern"][:-1] + r"\Z", value) is not None)


def _accepts_number(schema: dict[str, Any], value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return True
    is_in = schema.get("minimum", -math.inf) <= value <= schema.get("maximum", math.inf)
    return is_in and ("exclusiveMinimum" not in schema or value > schema["exclusiveMinimum"])


def _accepts_object(schema: dict[str, Any], value: dict[str, Any]) -> bool:
    if not set(schema.get("required", ())) <= value.keys():
        return False
    if not schema.get("minProperties", 0) <= len(value) <= schema.get("maxProperties", math.inf):
        return False
    if not all(accepts(schema.get("propertyNames", {}), key) for key in value):
        return False
    known, others = schema.get("properties", {}), schema.get("additionalProperties", True)
    for key, each in value.items():
        part = known.get(key, others)
        if part is False or (part is not True and not accepts(part, each)):
            return False
    return True


def parses(value: Any) -> list[str]:
    """Return the mistakes of structure that the parser finds in a value; JSON is YAML."""
    tree, problems = read_tree(json.dumps(value, ensure_ascii=False).encode(), file="f")
    assert tree is not None, problems
    return [str(each) for each in (*problems, *take(FILE, tree, file="f").problems)]


_RANDOM_TEXT = st.text(alphabet=st.characters(exclude_categories=["C", "Zl", "Zp"]), max_size=12)


def texts(shape: Text) -> st.SearchStrategy[str]:
    if shape.choices:
        return st.sampled_from(shape.choices)
    plain = _RANDOM_TEXT.filter(shape.fits) if shape.pattern is None else st.nothing()
    return plain | st.sampled_from([text for text in _SAMPLES if shape.fits(text)])


# Hypothesis' from_regex is slow on look-aheads: words that fit one pattern or another do as well.
_SAMPLES = (
    "", "a", "churn", "val_auc", "val/auc", "build/model", "data.train", "3.12", "3.9.1", "30m", "1h30m", "0s", "8Gi",
    "512Mi", "H100:1", "A100", "**.py", "src/**", "production", "run:12", "model:churn@champion", "main", "/train",
    "0 3 * * 1", "WAREHOUSE_TOKEN", "@acme/leads", "s3://acme/x", "https://mlflow.example/t", "../x", "/etc/passwd",
    "-x", "a..b", "x" * 64, "a b",
    "two\nlines", "train lr=0.1", "Ab", "a/../b", "..", "a\\b", "a*", " a", "a ", "é",
)  # fmt: skip


def valid(shape: Shape) -> st.SearchStrategy[Any]:
    """Values of a shape."""
    if id(shape) not in _BUILT:
        _BUILT[id(shape)] = _valid(shape)
    return _BUILT[id(shape)]


def _valid(shape: Shape) -> st.SearchStrategy[Any]:  # noqa: PLR0911  # one line for each kind
    match shape:
        case Text():
            return texts(shape)
        case Number():
            low = shape.least + (1e-3 if shape.above_least else 0)
            whole = st.integers(math.ceil(low), max(math.ceil(low), int(min(shape.most, 2**70))))
            return whole if shape.is_whole else st.floats(low, shape.most)
        case Flag():
            return st.booleans()
        case Scalar():
            return st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(-1e18, 1e18) | _RANDOM_TEXT
        case ListOf():
            return st.lists(st.deferred(lambda: valid(shape.item)), min_size=shape.least, max_size=max(shape.least, 2))
        case MapOf():
            return st.dictionaries(
                texts(shape.key),
                st.deferred(lambda: valid(shape.value)),
                min_size=shape.least,
                max_size=max(shape.least, 2),
            )
        case Fields():
            return fields(shape)
        case Either():
            return st.one_of([valid(option) for option in shape.options])


@st.composite
def fields(draw: st.DrawFn, shape: Fields) -> dict[str, Any]:
    chosen = {draw(st.sampled_from(shape.one_of))} if shape.one_of else set()
    free = [name for name in shape.keys if name not in shape.one_of]
    chosen |= {name for name, key in shape.keys.items() if key.is_needed}
    chosen |= draw(st.sets(st.sampled_from(free), max_size=3)) if free else set()
    return {name: draw(valid(shape.keys[name].shape)) for name in shape.keys if name in chosen}


_NOISE = st.sampled_from([None, "", "x", 3, 0.5, -1, True, [], {}, ["x"], {"x": 1}, *_SAMPLES[:20], 1e6, "no", 2.0])


@st.composite
def broken(draw: st.DrawFn) -> Any:
    """A valid file of which some one thing is exchanged, dropped or added."""
    root = draw(fields(FILE))
    node: Any = root
    for _ in range(draw(st.integers(0, 6))):
        inner = [
            each
            for each in (node.values() if isinstance(node, dict) else node)
            if isinstance(each, dict | list) and each
        ]
        if not inner:
            break
        node = draw(st.sampled_from(inner))
    if isinstance(node, list):
        node[draw(st.integers(0, len(node) - 1))] = draw(_NOISE)
    elif draw(st.booleans()) or not node:
        node[draw(st.sampled_from(["metric", "name", "run", "min", "x", "id", "pipeline"]))] = draw(_NOISE)
    else:
        key = draw(st.sampled_from(sorted(node)))
        if draw(st.booleans()):
            del node[key]
        else:
            node[key] = draw(_NOISE)
    return root


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(fields(FILE))
def test_what_the_table_makes_both_accept(document: dict[str, Any]) -> None:
    assert parses(document) == []
    assert accepts(SCHEMA, document)


@settings(deadline=None, max_examples=120, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(broken())
@example({"name": "a", "run": "b", "pipeline": {"steps": {"a": {"run": "b"}}}})
@example({"name": "a"})
@example({"name": "a\n", "run": "b"})
@example({"name": "a", "run": "b", "version": 1.0})
@example({"name": "a", "run": "b", "engine": None})
@example({"name": "a", "run": "b", "metrics": {"m": {"goal": "up"}}})
@example({"name": "a", "run": "b", "monitor": {"drift": {"features": "most"}}})
def test_what_is_broken_both_judge_alike(document: dict[str, Any]) -> None:
    mistakes = parses(document)
    assert accepts(SCHEMA, document) is (mistakes == []), mistakes


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(broken())
def test_a_file_is_a_project_or_a_list_of_placed_mistakes(document: dict[str, Any]) -> None:
    data = json.dumps(document, indent=1).encode()
    try:
        project = read_project(data)
    except ProjectFileError as caught:
        error = caught
    else:
        assert project.name == document["name"]
        assert project.steps
        return
    lines = data.count(b"\n") + 1
    assert error.problems
    assert all(1 <= each.line <= lines and each.column >= 1 and each.message for each in error.problems)


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=200) | st.text(alphabet=" \n:-[]{}&*!'\"#%?|>ab1.~", max_size=120).map(str.encode))
def test_any_bytes_are_a_project_or_a_mistake_of_the_user(data: bytes) -> None:
    with contextlib.suppress(UsageError):
        read_project(data)


def keys_of(shape: Shape, path: str = "") -> dict[str, Fields]:
    """Return every mapping with known keys, by its place."""
    match shape:
        case Fields():
            inner = {name: keys_of(key.shape, f"{path}/{name}") for name, key in shape.keys.items()}
            return {path: shape, **{place: each for found in inner.values() for place, each in found.items()}}
        case ListOf():
            return keys_of(shape.item, f"{path}[]")
        case MapOf():
            return keys_of(shape.value, f"{path}.*")
        case Either():
            return {place: each for option in shape.options for place, each in keys_of(option, path).items()}
        case _:
            return {}


def properties_of(schema: dict[str, Any], path: str = "") -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    if "properties" in schema:
        found[path] = set(schema["properties"])
        for name, each in schema["properties"].items():
            found |= properties_of(each, f"{path}/{name}")
    if "items" in schema:
        found |= properties_of(schema["items"], f"{path}[]")
    if isinstance(schema.get("additionalProperties"), dict):
        found |= properties_of(schema["additionalProperties"], f"{path}.*")
    for each in schema.get("anyOf", ()):
        found |= properties_of(each, path)
    return found


def test_every_key_of_the_parser_is_in_the_schema() -> None:
    assert SCHEMA["$schema"] == DIALECT
    assert properties_of(SCHEMA) == {place: set(shape.keys) for place, shape in keys_of(FILE).items()}
    json.dumps(SCHEMA)


def test_every_key_says_what_it_is() -> None:
    for place, shape in keys_of(FILE).items():
        for name, key in shape.keys.items():
            assert key.says, f"{place}/{name}"


@pytest.mark.parametrize("name", sorted(METRICS))
def test_what_may_be_computed_is_what_statistics_compute(name: str) -> None:
    assert name in COMPUTED
    assert (METRICS[name].needs == "score") is (name in FROM_SCORE)


def test_no_more_is_offered_than_there_is() -> None:
    assert set(COMPUTED) == set(METRICS)
    assert set(FAIRNESS) == set(KNOWN_FAIRNESS)

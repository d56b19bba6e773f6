"""Whatever text comes as a GraphQL document: it is refused, or a plan of bounded size, and soon."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from headway.api.mlflow.graph_check import Asked, planned
from headway.api.mlflow.graph_text import read
from headway.errors import UsageError

WORDS = st.sampled_from(
    [
        *("{", "}", "(", ")", "[", "]", ":", "...", "$", "=", "!", "@", ",", '"a"', '"""a"""', "1", "-1.5e3", "null"),
        *("query", "mutation", "fragment", "on", "F", "G", "Query", "Test", "test", "output", "inputString", "input"),
        *(
            "mlflowGetRun",
            "MlflowGetRunResponse",
            "run",
            "info",
            "runId",
            "component",
            "name",
            "a",
            "__typename",
            "true",
        ),
        *("{ test(inputString: $a) { output } }", "fragment F on Query { ...G ...F }", "($a: [A!] = [1])", "...F"),
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def size(asked: Asked) -> int:
    return 1 + sum(size(each) for each in asked.below.values())


def check(text: str, variables: dict[str, object]) -> None:
    try:
        found = planned(read(text), variables, "")
    except UsageError:
        return
    assert size(found) <= 1001


@given(st.lists(WORDS, max_size=40).map(" ".join), st.dictionaries(st.sampled_from("ab"), VALUES))
def test_words_in_any_order(text: str, variables: dict[str, object]) -> None:
    check(text, variables)


@given(st.text(max_size=200), st.dictionaries(st.sampled_from("ab"), VALUES))
def test_any_text(text: str, variables: dict[str, object]) -> None:
    check(text, variables)


@given(st.text(alphabet=st.characters(codec="utf-8")))
def test_a_text_comes_back_as_it_was(text: str) -> None:
    for written in (json.dumps(text), json.dumps(text, ensure_ascii=False)):
        operation = read(f"{{ test(inputString: {written}) {{ output }} }}").operations[0]
        asked = planned(read(f"{{ test(inputString: {written}) {{ output }} }}"), {}, operation.name)
        assert asked.below["test"].arguments == {"inputString": text}

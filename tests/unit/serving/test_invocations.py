"""MLflow's forms of a request become the arrays that the signature asks for."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway.serving.invocations import parse_invocation, predictions
from headway.serving.model_folder import Signature, TensorSpec
from headway.serving.tensors import BadRequest, Tensor

COLUMNS = Signature(
    kind="columns",
    inputs=(
        TensorSpec(name="a", type="double"),
        TensorSpec(name="n", type="long"),
        TensorSpec(name="s", type="string"),
        TensorSpec(name="f", type="boolean"),
    ),
)
TENSOR = Signature(kind="tensors", inputs=(TensorSpec(name="", type="float32", shape=(-1, 2)),))
FREE = Signature()


def parse(plain: Any, signature: Signature = COLUMNS) -> list[tuple[str, str, list[int], list[Any]]]:
    found = parse_invocation(json.dumps(plain).encode(), "application/json", signature)
    return [(one.name, one.datatype, one.shape, one.flat()) for one in found.tensors]


WANTED = [
    ("a", "FP64", [2], [1.0, 2.5]),
    ("n", "INT64", [2], [1, 2]),
    ("s", "BYTES", [2], ["x", "y"]),
    ("f", "BOOL", [2], [True, False]),
]
ROWS = [{"a": 1, "n": 1, "s": "x", "f": True}, {"a": 2.5, "n": 2, "s": "y", "f": False}]


@pytest.mark.parametrize(
    "plain",
    [
        {"dataframe_records": ROWS},
        {"instances": ROWS},
        {
            "dataframe_split": {
                "columns": list("ansf"),
                "index": [0, 1],
                "data": [[1, 1, "x", True], [2.5, 2, "y", False]],
            }
        },
        {"dataframe_split": {"data": [[1, 1, "x", True], [2.5, 2, "y", False]]}},
        {"inputs": {"a": [1, 2.5], "n": [1, 2], "s": ["x", "y"], "f": [True, False]}},
        {"dataframe_records": [{**row, "unknown": "is left out"} for row in ROWS]},
    ],
)
def test_every_form_gives_the_same_columns(plain: Any) -> None:
    assert parse(plain) == WANTED


def test_csv_is_read_by_the_types_of_the_signature() -> None:
    body = b"a,n,s,f\r\n1,1,x,true\r\n2.5,2,y,False\r\n"
    found = parse_invocation(body, "text/csv; charset=utf-8", COLUMNS)
    assert [(one.name, one.datatype, one.shape, one.flat()) for one in found.tensors] == WANTED
    free = parse_invocation(b"a,t\n1,01x\n,y\n", "text/csv", FREE)
    assert [(one.datatype, str(one.flat())) for one in free.tensors] == [
        ("FP64", "[1.0, nan]"),
        ("BYTES", "['01x', 'y']"),
    ]


def test_tensors() -> None:
    assert parse({"inputs": [[1, 2], [3, 4]]}, TENSOR) == [("input", "FP32", [2, 2], [1, 2, 3, 4])]
    assert parse({"instances": [[1, 2.5]]}, FREE) == [("input", "FP64", [1, 2], [1, 2.5])]
    assert parse({"instances": [1, 2]}, FREE) == [("input", "INT64", [2], [1, 2])]


def test_a_missing_number_travels_as_nan_and_a_missing_text_as_null() -> None:
    rows = [{**ROWS[0], "a": None, "s": None}]
    found = {name: values for name, _, _, values in parse({"dataframe_records": rows})}
    assert found["a"][0] != found["a"][0]
    assert found["s"] == [None]


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ({}, "exactly one of"),
        ({"instances": [[1]], "inputs": [[1]]}, "exactly one of"),
        ({"instances": {}}, "instances"),
        ({"instances": []}, "instances"),
        ({"inputs": 3}, "inputs"),
        ({"inputs": {"a": [1], "n": [1, 2]}}, "same length"),
        ({"dataframe_split": []}, "dataframe_split"),
        ({"dataframe_split": {"columns": ["a"], "data": [[1, 2]]}}, "one value per column"),
        ({"dataframe_split": {"columns": 3, "data": [[1]]}}, "list of names"),
        ({"dataframe_records": [1]}, "objects"),
        ({"dataframe_records": [{"other": 1}]}, "none of the columns"),
        ({"dataframe_records": [{**ROWS[0], "a": "secret"}]}, "'a' takes double"),
        ({"dataframe_records": [{**ROWS[0], "f": 1}]}, "'f' takes boolean"),
        ({"dataframe_records": [{**ROWS[0], "s": 1}]}, "'s' takes string"),
        ({"dataframe_records": ROWS, "params": [1]}, "params"),
        ({"instances": [[1, 2], [3]]}, "different lengths"),
        ({"instances": [[1, 2], 3]}, "unevenly"),
    ],
)
def test_what_is_none_of_the_forms_is_refused_without_repeating_it(plain: Any, message: str) -> None:
    with pytest.raises(BadRequest, match=message) as caught:
        parse(plain)
    assert "secret" not in caught.value.message


@pytest.mark.parametrize("kind", ["", "text/plain", "application/json; charset=latin-1", "application/x-parquet"])
def test_other_content_types_are_415(kind: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_invocation(b"{}", kind, FREE)
    assert caught.value.status == 415


@pytest.mark.parametrize("body", [b"", b"a,b\n", b"a,b\n1\n", b"\xff\xff,\n1,2\n"])
def test_csv_that_is_none_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        parse_invocation(body, "text/csv", FREE)


@given(
    st.sampled_from(["dataframe_split", "dataframe_records", "instances", "inputs"]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.text(), x),
    ),
)
def test_no_json_makes_anything_but_a_request_or_a_refusal(form: str, plain: Any) -> None:
    for signature in (COLUMNS, TENSOR, FREE):
        try:
            parse({form: plain}, signature)
        except BadRequest:
            continue


def test_answers_in_mlflows_form() -> None:
    numbers = Tensor("y", "INT64", [2], raw=(1).to_bytes(8, "little") + (2).to_bytes(8, "little"))
    words = Tensor("s", "BYTES", [2], values=["a", None])
    assert predictions("array", [numbers]) == [1, 2]
    assert predictions("table", [numbers, words]) == [{"y": 1, "s": "a"}, {"y": 2, "s": None}]
    assert predictions("named", [numbers, words]) == {"y": [1, 2], "s": ["a", None]}

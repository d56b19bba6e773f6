"""The Open Inference Protocol's bodies, both ways."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway.serving import oip
from headway.serving.tensors import BadRequest, Tensor, from_frame, nest, to_frame

GOOD: dict[str, Any] = {
    "id": "7",
    "inputs": [
        {"name": "x", "datatype": "FP64", "shape": [2, 2], "data": [1, 2.5, None, 4]},
        {"name": "n", "datatype": "INT8", "shape": [2], "data": [-1, 5]},
        {"name": "s", "datatype": "BYTES", "shape": [2], "data": ["a", None]},
        {"name": "b", "datatype": "BOOL", "shape": [2], "data": [True, False]},
    ],
}


def parse(plain: Any) -> oip.InferRequest:
    return oip.parse_infer(json.dumps(plain).encode(), None)


def test_flat_and_nested_data_are_the_same() -> None:
    nested = json.loads(json.dumps(GOOD))
    nested["inputs"][0]["data"] = [[1, 2.5], [None, 4]]
    flat, deep = parse(GOOD), parse(nested)
    assert [one.raw for one in flat.tensors] == [one.raw for one in deep.tensors]
    x = flat.tensors[0].flat()
    assert x[:2] == [1.0, 2.5]
    assert x[2] != x[2]
    assert [flat.tensors[index].flat() for index in (1, 2, 3)] == [[-1, 5], ["a", None], [True, False]]


def change(index: int, **fields: Any) -> dict[str, Any]:
    plain = json.loads(json.dumps(GOOD))
    plain["inputs"][index].update(fields)
    return plain


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ([], "object"),
        ({}, "inputs"),
        ({"inputs": {}}, "inputs"),
        ({"inputs": []}, "inputs"),
        ({"inputs": [3]}, r"inputs\[0\] must be an object"),
        ({**GOOD, "id": 7}, "id must be a string"),
        ({**GOOD, "parameters": {"a": [1]}}, "parameters"),
        ({**GOOD, "outputs": {}}, "outputs must be a list"),
        ({**GOOD, "outputs": [{}]}, r"outputs\[0\].name"),
        (change(0, name=None), "name"),
        (change(0, datatype="FP99"), "datatype must be one of"),
        (change(0, datatype=["FP64"]), "datatype must be one of"),
        (change(0, shape=[-2, 2]), "shape"),
        (change(0, shape=[]), "shape"),
        (change(0, shape=[True]), "shape"),
        (change(0, shape=[2, 3]), "6 elements, data has 4"),
        (change(0, shape=[1 << 40, 1]), "too many"),
        (change(0, data="text"), "data must be an array"),
        (change(0, data=[1, 2, 3, "secret"]), "no FP64"),
        (change(0, data=[1, 2, 3, True]), "no FP64"),
        (change(0, data=[[1, 2], 3, 4]), "unevenly"),
        (change(1, data=[1, 300]), "no INT8"),
        (change(1, data=[1, 1.5]), "no INT8"),
        (change(2, data=["a", 1]), "no BYTES"),
        (change(3, data=[True, 1]), "no BOOL"),
        (change(0, parameters={"binary_data_size": 8}), "does not fit"),
    ],
)
def test_what_the_specification_forbids_is_refused_without_repeating_it(plain: Any, message: str) -> None:
    with pytest.raises(BadRequest, match=message) as caught:
        parse(plain)
    assert "secret" not in caught.value.message


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"NaN"])
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        oip.parse_infer(body, None)


def test_binary_tensors_in_and_out() -> None:
    words = b"".join(struct.pack("<I", len(word)) + word for word in (b"ab", b"c"))
    numbers = struct.pack("<2d", 1.5, 2.5)
    head = {
        "inputs": [
            {"name": "x", "datatype": "FP64", "shape": [2], "parameters": {"binary_data_size": len(numbers)}},
            {"name": "s", "datatype": "BYTES", "shape": [2], "parameters": {"binary_data_size": len(words)}},
        ],
        "outputs": [{"name": "y", "parameters": {"binary_data": True}}],
    }
    text = json.dumps(head).encode()
    request = oip.parse_infer(text + numbers + words, len(text))
    assert [one.flat() for one in request.tensors] == [[1.5, 2.5], ["ab", "c"]]

    outputs = oip.select([Tensor("z", "INT64", [1], raw=bytes(8)), Tensor("y", "FP64", [2], raw=numbers)], request)
    body, length = oip.answer(request, outputs, {"model_name": "m"})
    assert length is not None
    plain = json.loads(body[:length])
    assert plain["outputs"] == [
        {"name": "y", "shape": [2], "datatype": "FP64", "parameters": {"binary_data_size": 16}},
    ]
    assert body[length:] == numbers


@pytest.mark.parametrize("length", [0, -1, 10**9])
def test_a_header_length_that_does_not_fit_is_refused(length: int) -> None:
    with pytest.raises(BadRequest, match="Inference-Header"):
        oip.parse_infer(b"{}", length)


def test_an_output_that_the_model_has_not_is_refused() -> None:
    request = parse({**GOOD, "outputs": [{"name": "nope"}]})
    with pytest.raises(BadRequest, match="it has y"):
        oip.select([Tensor("y", "INT64", [1], raw=bytes(8))], request)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_no_json_makes_anything_but_a_request_or_a_refusal(plain: Any) -> None:
    for value in (plain, {"inputs": plain}, {"inputs": [plain]}, change(0, data=plain), change(0, shape=plain)):
        try:
            parse(value)
        except BadRequest:
            continue


@given(st.lists(st.floats(width=64) | st.none(), min_size=1))
def test_frames_carry_arrays_unchanged(values: list[float | None]) -> None:
    tensor = Tensor("x", "FP64", [len(values)], raw=struct.pack(f"<{len(values)}d", *(v or 0.0 for v in values)))
    head, blob = to_frame([tensor, Tensor("s", "BYTES", [1], values=["a"])], {"layout": "table"})
    again = from_frame(json.loads(head)["arrays"], blob)
    assert [(one.name, one.raw, one.values) for one in again] == [("x", tensor.raw, None), ("s", None, ["a"])]


def test_nesting_by_shape() -> None:
    assert nest([1, 2, 3, 4, 5, 6], [3, 2]) == [[1, 2], [3, 4], [5, 6]]
    assert nest([1, 2, 3, 4], [2, 1, 2]) == [[[1, 2]], [[3, 4]]]
    assert nest([], [2, 0]) == [[], []]
    assert nest([1], [1]) == [1]

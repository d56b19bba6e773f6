"""What an MLmodel file says, read as data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from headway.errors import UsageError
from headway.serving.model_folder import read_model_folder

MLMODEL = """
flavors:
  python_function: {loader_module: mlflow.sklearn, model_path: model.skops, predict_fn: predict}
  sklearn: {code: null, pickled_model: model.skops, serialization_format: skops}
saved_input_example_info: {artifact_path: input_example.json, type: dataframe}
signature:
  inputs: '[{"type": "double", "name": "x", "required": true}, {"type": "string", "name": "s", "optional": true}]'
  outputs: '[{"type": "tensor", "tensor-spec": {"dtype": "int64", "shape": [-1]}}]'
  params: null
"""


def test_flavours_signature_and_example(tmp_path: Path) -> None:
    (tmp_path / "MLmodel").write_text(MLMODEL)
    found = read_model_folder(tmp_path)
    assert found.platform == "mlflow_sklearn"
    assert found.signature.kind == "columns"
    assert [(one.name, one.datatype, one.required) for one in found.signature.inputs] == [
        ("x", "FP64", True),
        ("s", "BYTES", False),
    ]
    assert (found.signature.outputs[0].datatype, found.signature.outputs[0].shape) == ("INT64", (-1,))
    order = json.loads(found.order())
    assert order["flavors"]["sklearn"]["pickled_model"] == "model.skops"
    assert order["example"]["artifact_path"] == "input_example.json"
    assert order["takes_parameters"] is False


def test_tensors_and_columns_without_names(tmp_path: Path) -> None:
    shape = '[{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 4]}}]'
    (tmp_path / "MLmodel").write_text(f"flavors: {{python_function: {{}}}}\nsignature: {{inputs: '{shape}'}}\n")
    assert read_model_folder(tmp_path).signature.kind == "tensors"
    (tmp_path / "MLmodel").write_text('signature: {inputs: \'[{"type": "double"}]\'}\n')
    assert read_model_folder(tmp_path).signature.kind == ""


def test_a_folder_without_the_file_says_nothing(tmp_path: Path) -> None:
    assert read_model_folder(tmp_path).platform == "python"


@pytest.mark.parametrize(
    "text",
    [
        "[1, 2",
        "just text",
        "signature: {inputs: 'no json'}",
        "signature: {inputs: '[{}]'}",
        "signature: {inputs: '[3]'}",
        "flavors: [1]",
        "!!python/object/apply:os.system ['touch ran']",
        "a: &a [x]\n"
        + "".join(f"k{n}: &k{n} [*{'a' if n == 0 else f'k{n - 1}'}]\n" for n in range(3))
        + "x" * (1 << 20),
    ],
)
def test_a_file_that_cannot_be_read_is_said_and_nothing_of_it_runs(
    tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "MLmodel").write_text(text)
    with pytest.raises(UsageError, match="MLmodel"):
        read_model_folder(tmp_path)
    assert not (tmp_path / "ran").exists()


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not there"):
        read_model_folder(tmp_path / "gone")

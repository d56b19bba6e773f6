import pytest

from fakes.blobs import MemoryStore
from headway.errors import NotFound, Refused, TooLarge, UsageError
from headway.registry.digest import check_digest, digest_folder
from headway.registry.flavor import parse_mlmodel, read_flavor

MLMODEL = b"""
artifact_path: model
flavors:
  python_function:
    env: {conda: conda.yaml, virtualenv: python_env.yaml}
    loader_module: mlflow.sklearn
    model_path: model.pkl
    python_version: 3.11.7
  sklearn: {code: null, pickled_model: model.pkl, serialization_format: cloudpickle, sklearn_version: 1.5.0}
mlflow_version: 3.17.2
signature:
  inputs: '[{"type": "long", "name": "hour", "required": true}, {"type": "string", "name": "origin"}]'
  outputs: '[{"type": "tensor", "tensor-spec": {"dtype": "int64", "shape": [-1]}}]'
"""


@pytest.fixture
def blobs() -> MemoryStore:
    store = MemoryStore()
    store.put("0/r/artifacts/m/MLmodel", [MLMODEL])
    store.put("0/r/artifacts/m/model.pkl", [b"\x80\x04bytes that nobody loads"])
    return store


def test_an_mlmodel_file_is_read_as_data(blobs: MemoryStore) -> None:
    found = read_flavor(blobs, "0/r/artifacts/m")
    assert found.flavors == ("python_function", "sklearn")
    assert (found.loader, found.python, found.mlflow) == ("mlflow.sklearn", "3.11.7", "3.17.2")
    assert [(each.name, each.type) for each in found.inputs or ()] == [("hour", "long"), ("origin", "string")]
    assert [(each.name, each.type) for each in found.outputs or ()] == [("0", "tensor(int64, [-1])")]
    assert found.badge == "contains pickle"
    assert found.files == 2


def test_the_projects_own_code_is_told(blobs: MemoryStore) -> None:
    blobs.put("0/r/artifacts/m/code/mine.py", [b"import os"])
    assert read_flavor(blobs, "0/r/artifacts/m").badge == "contains code and pickle"


def test_a_folder_without_mlmodel_is_said(blobs: MemoryStore) -> None:
    with pytest.raises(NotFound, match="MLmodel"):
        read_flavor(blobs, "0/r/artifacts")


@pytest.mark.parametrize(
    "document",
    [
        b"a: !!python/object/apply:os.system ['touch /tmp/canary']",
        b"a: !!js/function 'function(){}'",
        b"a: !canary x",
        b"\xff\xfe",
        b"just text",
        b"- a list",
        b"a: 1\na: 2",
        b"a: {b: [}",
    ],
    ids=lambda raw: repr(raw[:20]),
)
def test_hostile_yaml_is_an_error_and_runs_nothing(document: bytes) -> None:
    with pytest.raises(UsageError):
        parse_mlmodel(document)


def test_a_large_file_is_not_parsed() -> None:
    with pytest.raises(TooLarge):
        parse_mlmodel(b"a: b\n" + b"#" * 1_000_001)
    with pytest.raises(TooLarge):
        parse_mlmodel(b"a: [" + b"1," * 300_000 + b"1]")
    with pytest.raises(TooLarge):
        parse_mlmodel(b"[" * 100_000)


def test_repeated_references_do_not_grow() -> None:
    bomb = b"a: &a [x,x,x,x,x,x,x,x,x]\n"
    for name, before in zip("bcdefghij", "abcdefghi", strict=True):
        bomb += f"{name}: &{name} [{','.join(['*' + before] * 9)}]\n".encode()
    assert set(parse_mlmodel(bomb)) == set("abcdefghij")


def test_a_signature_that_is_not_json_is_none(blobs: MemoryStore) -> None:
    blobs.put("x/MLmodel", [b"flavors: {f: [1]}\nsignature: {inputs: '[[[', outputs: '{}'}\n"])
    found = read_flavor(blobs, "x")
    assert (found.inputs, found.outputs) == (None, None)


def test_a_digest_is_of_paths_and_bytes_alone(blobs: MemoryStore) -> None:
    digest = digest_folder(blobs, "0/r/artifacts/m")
    for key in ("MLmodel", "model.pkl"):
        blobs.put(f"elsewhere/{key}", [blobs.blobs[f"0/r/artifacts/m/{key}"]])
    assert digest_folder(blobs, "elsewhere") == digest
    blobs.put("elsewhere/model.pkl", [b"other"])
    assert digest_folder(blobs, "elsewhere") != digest
    blobs.delete("elsewhere/model.pkl")
    blobs.put("elsewhere/renamed.pkl", [blobs.blobs["0/r/artifacts/m/model.pkl"]])
    assert digest_folder(blobs, "elsewhere") != digest
    with pytest.raises(NotFound):
        digest_folder(blobs, "nowhere")


def test_a_changed_file_is_noticed_before_it_is_served(blobs: MemoryStore) -> None:
    folder = "0/r/artifacts/m"
    digest = digest_folder(blobs, folder)
    check_digest(blobs, folder, digest)
    blobs.put(f"{folder}/added.py", [b"import os"])
    with pytest.raises(Refused, match="not those that were registered"):
        check_digest(blobs, folder, digest)

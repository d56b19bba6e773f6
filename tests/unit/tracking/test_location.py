import pytest

from headway.errors import UsageError
from headway.tracking.location import artifact_uri, checked_location


def test_where_a_run_lies() -> None:
    assert artifact_uri("mlflow-artifacts:/3", "r") == "mlflow-artifacts:/3/r/artifacts"
    assert artifact_uri("s3://b/x/", "r") == "s3://b/x/r/artifacts"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("s3://bucket/x", "s3://bucket/x"),
        ("gs://bucket/", "gs://bucket"),
        ("mlflow-artifacts:/team/a b", "mlflow-artifacts:/team/a b"),
        ("named", "mlflow-artifacts:/named"),
    ],
)
def test_harmless_locations(given: str, kept: str) -> None:
    assert checked_location(given) == kept


@pytest.mark.parametrize(
    "location",
    ["", "..", "../x", "/etc", "file:///etc", "C:/x", "http://h", "s3://b/%2e%2e/x", "s3://b/%25252e%25252e/x", "s3:///x",
     "s3://b/x?y", "s3://b/x#y", "s3://b/x;y", "mlflow-artifacts:/12/x",
     "mlflow-artifacts:x/../y", "a//b", "a/./b", "é\0", "http://["],
)  # fmt: skip
def test_dangerous_locations(location: str) -> None:
    with pytest.raises(UsageError):
        checked_location(location)

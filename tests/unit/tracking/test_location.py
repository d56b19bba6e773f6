from pathlib import Path

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
        ("gs://bucket/", "gs://bucket/"),
        ("dbfs:/team/x", "dbfs:/team/x"),
        ("s3://b/x?y", "s3://b/x?y"),
        ("mysql+driver://h:p/x?a=b&c=d", "mysql+driver://h:p/x?a=b&c=d"),
        ("dialect+driver://root@host/db?c=d", "dialect+driver://root@host/db?c=d"),
        ("mlflow-artifacts:/team/a b", "mlflow-artifacts:/team/a b"),
        ("named", "mlflow-artifacts:/named"),
    ],
)
def test_harmless_locations(given: str, kept: str) -> None:
    assert checked_location(given) == kept


@pytest.mark.parametrize(
    "location",
    ["", "..", "../x", "/etc", "file:///etc", "C:/x", "http://h", "s3://b/%2e%2e/x", "s3://b/%25252e%25252e/x",
     "s3:///x", "s3://b/x?y?z", "s3://b/x?../y", "s3://b/x#y", "s3://b/x;y", "foo:bar", "dbfs:x", "dbfs:/?/../../etc",
     "javascript://h/%0aalert(1)", "javascript://h/x", "data:x", "gopher://h/_x",
     "git+ssh://h/x", "git+driver://h/x", "svn+http://h/x", "http+unix://h/x", "x+https://h/x", "x+file:///etc",
     "ldap://h/x", "models:/m/1", "runs:/r/x", "ws://h/x", "/tmp/x",
     "file:///tmp/x", "mlflow-artifacts:/12/x", "mlflow-artifacts:x/../y", "a//b", "a/./b", "é\0", "http://["],
)  # fmt: skip
def test_dangerous_locations(location: str) -> None:
    with pytest.raises(UsageError):
        checked_location(location)


@pytest.mark.parametrize("location", ["/tmp/x", "/home/a b/x", "file:///tmp/x/", "/root/project/store"])
def test_folders_of_ones_own_machine(location: str) -> None:
    assert checked_location(location, is_local=True) == location


@pytest.mark.parametrize(("name", "kept"), [("named", "/named"), ("two/names/", "/two/names"), ("a b", "/a b")])
def test_a_plain_name_is_a_folder_where_the_server_was_started(
    name: str, kept: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert checked_location(name, is_local=True) == f"{tmp_path}{kept}"
    assert checked_location(name) == f"mlflow-artifacts:{kept}"
    monkeypatch.chdir("/usr/lib")  # where nobody's artifacts belong
    assert checked_location(name, is_local=True) == f"mlflow-artifacts:{kept}"


@pytest.mark.parametrize(
    "location",
    ["/etc", "/etc/x", "/proc/self/root", "/usr/lib", "/var/lib/x", "/", "//etc", "/tmp/../etc", "/tmp/./x", "/tmp//x",
     "/tmp/%2e%2e/x", "/tmp/x\0", "/tmp/x?y", "file:etc", "FILE:///tmp/x", "file://localhost/tmp", "file:////tmp",
     "C:/x"],
)  # fmt: skip
def test_folders_that_lead_astray(location: str) -> None:
    with pytest.raises(UsageError):
        checked_location(location, is_local=True)

"""Artifacts of an import: only what lies below the folder that was named, and no link."""

from __future__ import annotations

from pathlib import Path

import pytest

from headway.cli.moving.journal import Journal
from headway.cli.moving.local_files import LocalFiles
from headway.errors import UsageError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    place = tmp_path / "art" / "1" / "run" / "artifacts"
    (place / "sub").mkdir(parents=True)
    (place / "sub" / "a.txt").write_text("a")
    (place / "link").symlink_to("/etc/hostname")
    (place / "bad\\name").write_text("b")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("s")
    (tmp_path / "art" / "leak").symlink_to(tmp_path / "outside")
    return tmp_path / "art"


@pytest.mark.parametrize(
    "uri", ["mlflow-artifacts:/1/run/artifacts", "s3://bucket/deep/1/run/artifacts", "file:///old/home/1/run/artifacts"]
)
def test_files_are_found_wherever_they_lay_before(root: Path, uri: str) -> None:
    found = {each.path: each.problem for each in LocalFiles(root).list(uri)}
    assert found["sub/a.txt"] == ""
    assert found["link"] == "it is a link"
    assert "not allowed" in found["bad\\name"]
    with LocalFiles(root).open(uri, "sub/a.txt") as parts:
        assert b"".join(parts) == b"a"


@pytest.mark.parametrize(
    "uri",
    [
        "file:///etc",
        "/etc",
        "mlflow-artifacts:/../outside",
        "mlflow-artifacts:/leak",
        "file:///x/art/leak",
        "//etc",
        "",
    ],
)
def test_nothing_outside_is_listed(root: Path, uri: str) -> None:
    assert list(LocalFiles(root).list(uri)) == []


def test_a_file_of_another_name_or_behind_a_link_is_not_opened(root: Path) -> None:
    files = LocalFiles(root)
    with pytest.raises(UsageError), files.open("mlflow-artifacts:/1/run/artifacts", "../../../../outside/secret"):
        pass
    with pytest.raises(OSError, match="link"), files.open("mlflow-artifacts:/1/run/artifacts", "link"):
        pass
    with pytest.raises(UsageError, match="was not said"):
        list(LocalFiles(None).list("mlflow-artifacts:/1/run/artifacts"))


def test_a_torn_journal_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "there", "here")
    journal.write("run", "a", [1])
    journal.write("run", "b", [2])
    journal.close()
    with journal.path.open("a") as torn:
        torn.write('["run", "c", [3')
    again = Journal(tmp_path, "there", "here")
    again.write("run", "d", [4])
    again.close()
    last = Journal(tmp_path, "there", "here")
    assert [last.said("run", each) for each in "abcd"] == [[1], [2], None, [4]]
    assert Journal(tmp_path, "there", "elsewhere").said("run", "a") is None
    last.close()

from __future__ import annotations

from pathlib import Path

import pytest

from headway.environments.files import FolderFiles


def test_a_folder_is_a_mapping_of_its_regular_files(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/c.txt").write_text("c")
    (tmp_path / "top.txt").write_text("t")
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/x.txt").write_text("x")
    files = FolderFiles(tmp_path)
    assert dict(files) == {"a/b/c.txt": b"c", "top.txt": b"t"}
    assert len(files) == 2
    assert "a/b" not in files
    with pytest.raises(KeyError):
        files["nothing"]


def test_links_and_climbing_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    (tmp_path / "p").mkdir()
    (tmp_path / "p/file").symlink_to(tmp_path / "secret")
    (tmp_path / "p/folder").symlink_to(tmp_path)
    files = FolderFiles(tmp_path / "p")
    assert dict(files) == {}
    for path in ("file", "folder/secret", "../secret", "/etc/passwd", "", "./file"):
        assert path not in files

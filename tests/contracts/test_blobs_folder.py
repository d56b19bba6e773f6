from pathlib import Path

import pytest

from contracts.blobs import BlobContract
from headway.blobs.folder import FolderStore


class TestFolderStore(BlobContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> FolderStore:
        return FolderStore(tmp_path / "blobs")


class TestJournaledFolderStore(BlobContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> FolderStore:
        return FolderStore(tmp_path / "blobs", is_journaled=True)


class TestFolderStoreBesideAJournal(BlobContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> FolderStore:
        FolderStore(tmp_path / "blobs", is_journaled=True)
        return FolderStore(tmp_path / "blobs")

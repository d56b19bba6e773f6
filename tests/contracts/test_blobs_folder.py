from pathlib import Path

import pytest

from contracts.blobs import BlobContract
from headway.blobs.folder import FolderStore


class TestFolderStore(BlobContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> FolderStore:
        return FolderStore(tmp_path / "blobs")

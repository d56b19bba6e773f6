import pytest

from contracts.blobs import BlobContract
from fakes.blobs import MemoryStore


class TestMemoryStore(BlobContract):
    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()

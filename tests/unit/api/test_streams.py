"""Uploads block by block: what is received meanwhile, and what happens when nobody wants the rest."""

import asyncio
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pytest

from headway.api.mlflow.streams import take_upload
from headway.errors import Refused, StorageFull

MEGABYTE = 1024 * 1024


class Body:
    """A request's body that comes in messages of a megabyte."""

    def __init__(self, blocks: int) -> None:
        self.left = blocks
        self.asked = 0

    async def receive(self) -> dict[str, Any]:
        await asyncio.sleep(0)
        self.asked += 1
        self.left -= 1
        return {"type": "http.request", "body": bytes([self.asked]) * MEGABYTE, "more_body": self.left > 0}


class Kept:
    """A store that keeps what it is given, or has room for some blocks only."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.blocks: list[bytes] = []

    def save(self, _key: str, chunks: Iterable[bytes]) -> None:
        for chunk in chunks:
            if len(self.blocks) == self.room:
                raise StorageFull("the disk is full")
            self.blocks.append(chunk)


def upload(body: Body, store: Kept) -> set[asyncio.Task[Any]]:
    """Upload, and return the tasks that are left over."""
    call: Any = SimpleNamespace(receive=body.receive)

    async def run() -> set[asyncio.Task[Any]]:
        try:
            await take_upload(call, store, lambda: "a/b")  # type: ignore[arg-type]
        finally:
            await asyncio.sleep(0.05)
        return asyncio.all_tasks() - {asyncio.current_task()}  # type: ignore[arg-type]

    return asyncio.run(run())


@pytest.mark.parametrize("blocks", [1, 2, 7])
def test_every_block_is_stored_once_and_in_order(blocks: int) -> None:
    store = Kept(room=100)
    assert upload(Body(blocks), store) == set()
    assert [chunk[0] for chunk in store.blocks] == list(range(1, blocks + 1))


def test_a_full_disk_is_told_and_at_most_two_blocks_more_were_received() -> None:
    body, store = Body(1000), Kept(room=3)
    with pytest.raises(StorageFull):
        upload(body, store)
    assert len(store.blocks) == 3
    assert body.asked <= 6


@pytest.mark.parametrize("blocks", [1, 3])
def test_a_long_upload_is_asked_again_before_it_takes_its_place(blocks: int) -> None:
    """While it came, what lies there may have been registered by its digest."""
    store, asked = Kept(room=10), []

    def key() -> str:
        asked.append(len(store.blocks))
        if len(asked) > 1:
            raise Refused("registered meanwhile")
        return "a/b"

    call: Any = SimpleNamespace(receive=Body(blocks).receive)
    if blocks == 1:
        asyncio.run(take_upload(call, store, key))  # type: ignore[arg-type]
        assert asked == [0]
    else:
        with pytest.raises(Refused, match="registered meanwhile"):
            asyncio.run(take_upload(call, store, key))  # type: ignore[arg-type]
        assert asked == [0, blocks]

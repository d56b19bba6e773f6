from __future__ import annotations

import io
import os
import threading
from pathlib import Path

import pytest

from headway.environments.model import Tier
from headway.environments.shelf import Shelf, installed
from headway.errors import UsageError

DIGEST = "a" * 64


def made(shelf: Shelf) -> Path:
    path = shelf.path(DIGEST)
    (path / "bin").mkdir(parents=True)
    (path / "bin/python").symlink_to("/bin/sh")
    (path / "lib/python3.11/site-packages/Scikit_Learn-1.7.2.dist-info").mkdir(parents=True)
    return path


def test_only_what_is_marked_is_found(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, Tier.MAIN)
    path = made(shelf)
    assert shelf.find(DIGEST) is None
    finished = shelf.finish(DIGEST, seconds=1.5)
    found = shelf.find(DIGEST)
    assert found is not None
    assert (found.path, found.seconds, found.packages, found.reused) == (str(path), 1.5, 1, True)
    assert not finished.reused
    assert shelf.packages(DIGEST) == installed(path) == {"scikit-learn": "1.7.2"}
    (path / "headway.json").write_text("{")
    assert shelf.find(DIGEST) is None


@pytest.mark.parametrize("digest", ["", "..", "../x", "A" * 64, "a" * 63, "a" * 64 + "\n"])
def test_a_digest_cannot_become_another_path(tmp_path: Path, digest: str) -> None:
    with pytest.raises(UsageError, match="no environment digest"):
        Shelf(tmp_path, Tier.MAIN).path(digest)


def test_one_holds_the_lock_and_others_wait_or_are_told(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, Tier.MAIN)
    waiting, entered = io.StringIO(), threading.Event()

    def wait() -> None:
        with shelf.lock(DIGEST, waiting):
            entered.set()

    with shelf.lock(DIGEST, io.StringIO()):
        with shelf.try_lock(DIGEST) as is_held:
            assert not is_held
        thread = threading.Thread(target=wait)
        thread.start()
        assert not entered.wait(0.2)
    thread.join(timeout=30)
    assert entered.is_set()
    assert "waiting for it" in waiting.getvalue()


def test_whoever_waited_for_a_removed_lock_file_takes_the_new_one(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, Tier.MAIN)
    held = threading.Event()

    def wait() -> None:
        with shelf.lock(DIGEST, io.StringIO()), shelf.try_lock(DIGEST) as is_held:
            assert not is_held
            held.set()

    with shelf.lock(DIGEST, io.StringIO()):
        thread = threading.Thread(target=wait)
        thread.start()
        held.wait(0.2)
        (tmp_path / f"main/envs/{DIGEST}.lock").unlink()
    thread.join(timeout=30)
    assert held.is_set()


def test_discarding_twice_and_counting_links_once(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, Tier.MAIN)
    path = made(shelf)
    (path / "big").write_bytes(b"x" * 100_000)
    before = shelf.size()
    os.link(path / "big", path / "linked")
    assert shelf.size() == before >= 100_000
    shelf.discard(DIGEST)
    shelf.discard(DIGEST)
    assert not path.exists()
    assert shelf.digests() == []

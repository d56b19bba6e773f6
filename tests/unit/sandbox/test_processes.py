"""The process tree, as the kernel tells it."""

from __future__ import annotations

import os
import subprocess

import processes


def test_children_of_children_are_found_parents_first() -> None:
    child = subprocess.Popen(["sh", "-c", "sleep 60 & echo $!; wait"], stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        grandchild = int(child.stdout.readline())
        below = [process.pid for process in processes.descendants(os.getpid(), processes.snapshot())]
        assert below.index(child.pid) < below.index(grandchild)
    finally:
        processes.send(9, [grandchild, child.pid])
        child.wait()
        child.stdout.close()


def test_our_own_use_is_seen() -> None:
    mine = processes.snapshot()[os.getpid()]
    assert mine.parent == os.getppid()
    assert mine.memory > 5_000_000
    assert mine.threads >= 1
    assert 0 < processes.proportional_memory([mine]) <= mine.memory * 1.1


def test_a_process_that_shows_nothing_counts_in_full() -> None:
    assert processes.proportional_memory([processes.Process(2**22 + 1, 1, 12345, 0.0, 1)]) == 12345


def test_a_signal_to_nobody_is_no_mistake() -> None:
    processes.send(9, [2**22 + 1])

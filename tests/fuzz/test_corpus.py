"""Every input that ever broke something, and every seed of the fuzzer, again: nothing but a HeadwayError comes out."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"


def test_every_target_has_inputs() -> None:
    assert {each.name for each in CORPUS.iterdir()} == set(TARGETS)


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_no_input_breaks_it_again(name: str) -> None:
    for path in sorted((CORPUS / name).iterdir()):
        began = time.process_time()
        TARGETS[name](path.read_bytes())
        assert time.process_time() - began < 5, path.name  # of this process's own CPU: 4,000 brackets once took minutes

"""Throw the team's own test at a version in staging."""

from __future__ import annotations

from pathlib import Path

from headway.serving.release import Candidate
from headway.serving.rollout import Tested


def run_test(candidate: Candidate, *, endpoint: str, folder: Path) -> Tested:
    """Return how the test went."""
    raise NotImplementedError(f"{candidate.route.model} {endpoint} {folder}")

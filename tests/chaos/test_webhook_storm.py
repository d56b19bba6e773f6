"""A thousand chaotic deliveries on a real server give exactly the distinct commands; how fast, nobody asks here."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.webhook_storm import blow

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]


def test_a_storm_of_webhooks_gives_exactly_the_distinct_commands(tmp_path: Path) -> None:
    found = blow(tmp_path / "storm", events=1000, seed=3, with_job=False)
    assert found.wrong == []
    assert found.sent == 1000
    assert found.commands == 30
    assert set(found.statuses) <= {202, 400, 401, 404}

"""The App's own word: a key that cannot be read is said."""

from __future__ import annotations

import pytest

from headway.errors import UsageError
from headway.forges.github.config import GitHubApp
from headway.forges.github.tokens import AppWord


def test_a_key_that_cannot_be_read_is_said_with_what_mends_it() -> None:
    word = AppWord(GitHubApp(id=7, slug="headway", private_key="-----BEGIN NOTHING-----"))
    for _ in range(2):  # nothing of a failed try is kept
        with pytest.raises(UsageError, match="private key cannot be used") as refusal:
            word.credentials()
        assert "headway init --github" in (refusal.value.hint or "")

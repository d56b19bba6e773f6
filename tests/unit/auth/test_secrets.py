from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from headway.auth.secrets import EVERY_REPO, SecretStore
from headway.db import schema
from headway.db.connection import Database
from headway.errors import NotFound, TooLarge, UsageError

AT = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


def test_a_repositorys_own_value_wins_over_everybodys(database: Database) -> None:
    with database.write() as tx:
        store = SecretStore(tx)
        store.set("one", "TOKEN", value="own", by="ada", at=AT)
        store.set(EVERY_REPO, "TOKEN", value="shared", by="ada", at=AT)
        store.set(EVERY_REPO, "OTHER", value="both", by="ada", at=AT)
        assert store.values_for("one", ["TOKEN", "OTHER"]) == {"TOKEN": "own", "OTHER": "both"}
        assert store.values_for("two", ["TOKEN"]) == {"TOKEN": "shared"}
        assert store.values_for("two", []) == {}
        assert store.list_names("one") == ("OTHER", "TOKEN")
        assert store.all_values("one") == ("both", "own", "shared")


def test_a_secret_that_was_never_set_is_named_with_the_command_that_sets_it(database: Database) -> None:
    with database.write() as tx, pytest.raises(NotFound, match="no secret MISSING") as caught:
        SecretStore(tx).values_for("one", ["MISSING"])
    assert caught.value.hint == "headway secret set MISSING"


def test_setting_again_replaces_and_removing_forgets_and_both_are_told_without_the_value(database: Database) -> None:
    with database.write() as tx:
        store = SecretStore(tx)
        store.set("one", "TOKEN", value="canary-1", by="ada", at=AT)
        store.set("one", "TOKEN", value="canary-2", by="ada", at=AT)
        assert store.values_for("one", ["TOKEN"]) == {"TOKEN": "canary-2"}
        store.remove("one", "TOKEN", by="ada", at=AT)
        with pytest.raises(NotFound):
            store.remove("one", "TOKEN", by="ada", at=AT)
        told = tx.execute(select(schema.event)).all()
    assert [row.to_state for row in told] == ["set", "replaced", "removed"]
    assert "canary" not in str(told)


@pytest.mark.parametrize(
    "name", ["", "lower", "1ST", "A-B", "A" * 64, "LD_PRELOAD", "PYTHONPATH", "MLFLOW_RUN_ID", "PATH"]
)
def test_names_that_cannot_or_must_not_be_variables(database: Database, name: str) -> None:
    with database.write() as tx, pytest.raises(UsageError):
        SecretStore(tx).set("one", name, value="x", by="ada", at=AT)


def test_values_have_limits(database: Database) -> None:
    with database.write() as tx:
        with pytest.raises(UsageError):
            SecretStore(tx).set("one", "TOKEN", value="", by="ada", at=AT)
        with pytest.raises(UsageError):
            SecretStore(tx).set("one", "TOKEN", value="a\0b", by="ada", at=AT)
        with pytest.raises(TooLarge):
            SecretStore(tx).set("one", "TOKEN", value="x" * 70_000, by="ada", at=AT)

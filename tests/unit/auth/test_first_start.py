from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from headway.auth.authenticate import Authenticator
from headway.auth.first_start import FILE_NAME, first_token, read_first_token
from headway.auth.model import Role
from headway.auth.tokens import TokenStore, read_token
from headway.clock import FixedClock
from headway.db.connection import Database

if TYPE_CHECKING:
    from pathlib import Path

CLOCK = FixedClock(datetime(2026, 11, 20, 9, 0, tzinfo=UTC))


def test_the_first_start_makes_one_admin_token_that_only_its_owner_can_read(database: Database, tmp_path: Path) -> None:
    data = tmp_path / "data"
    text = first_token(database, data, clock=CLOCK, user="ada")
    assert first_token(database, data, clock=CLOCK, user="ada") == text == read_first_token(data)
    assert (data / FILE_NAME).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in data.iterdir()] == [FILE_NAME]
    principal = Authenticator(database, CLOCK).authenticate(f"Bearer {text}")
    assert (principal.user, principal.role) == ("ada", Role.ADMIN)


def test_a_file_whose_token_works_no_more_is_replaced(database: Database, tmp_path: Path) -> None:
    text = first_token(database, tmp_path, clock=CLOCK, user="ada")
    with database.write() as tx:
        TokenStore(tx).revoke(read_token(text).id, at=CLOCK.now(), by="ada")
    second = first_token(database, tmp_path, clock=CLOCK, user="ada")
    assert second != text
    (tmp_path / FILE_NAME).write_text("nonsense\n")
    third = first_token(database, tmp_path, clock=CLOCK, user="ada")
    assert third not in {text, second}
    assert read_first_token(tmp_path) == third


def test_no_file_is_no_token(tmp_path: Path) -> None:
    assert read_first_token(tmp_path) is None

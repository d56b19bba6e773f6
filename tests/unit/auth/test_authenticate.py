from __future__ import annotations

import base64
import inspect
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headway.auth import authenticate as module
from headway.auth.authenticate import Authenticator, token_in
from headway.auth.model import Role, TokenKind
from headway.auth.tokens import TokenStore, read_token, write_token
from headway.clock import FixedClock
from headway.db.connection import Database
from headway.errors import Conflict, LoginNeeded

AT = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(AT)


@pytest.fixture
def authenticator(database: Database, clock: FixedClock) -> Authenticator:
    return Authenticator(database, clock)


def mint(database: Database, kind: TokenKind = TokenKind.USER, **more: Any) -> str:
    with database.write() as tx:
        return TokenStore(tx).mint(kind, "ada", role=Role.CONTRIBUTOR, at=AT, **more)


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def test_a_token_works_as_bearer_and_as_basic_password(database: Database, authenticator: Authenticator) -> None:
    text = mint(database, TokenKind.ATTEMPT, run_id="r" * 32, experiment_id="7", attempt_id="A" * 26, fence=2)
    for header in (f"Bearer {text}", f"bearer  {text} ", basic("whoever", text), basic("", text)):
        principal = authenticator.authenticate(header)
        assert (principal.user, principal.role, principal.kind) == ("ada", Role.CONTRIBUTOR, TokenKind.ATTEMPT)
        assert (principal.run_id, principal.experiment_id, principal.fence) == ("r" * 32, "7", 2)


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Digest abc", "Basic !!!", "Basic /w==", "x" * 5000])
def test_nothing_usable_needs_a_login(authenticator: Authenticator, header: str | None) -> None:
    with pytest.raises(LoginNeeded) as caught:
        authenticator.authenticate(header)
    assert "headway login" in caught.value.hint


def test_a_right_id_with_a_wrong_secret_is_refused_like_an_unknown_id(
    database: Database,
    authenticator: Authenticator,
) -> None:
    parts = read_token(mint(database))
    answers = []
    for text in (write_token(parts.id, "00" * 32), write_token("Z" * 26, parts.secret), "hw_nonsense"):
        with pytest.raises(LoginNeeded) as caught:
            authenticator.authenticate(f"Bearer {text}")
        answers.append((caught.value.message, caught.value.cause))
    assert len(set(answers)) == 1


def test_a_revoked_token_ends_at_once_when_forgotten_and_else_within_two_seconds(
    database: Database,
    clock: FixedClock,
    authenticator: Authenticator,
) -> None:
    text = mint(database, TokenKind.ATTEMPT, attempt_id="A" * 26)
    elsewhere = Authenticator(database, clock)
    for each in (authenticator, elsewhere):
        each.authenticate(f"Bearer {text}")
    with database.write() as tx:
        for token_id in TokenStore(tx).revoke_attempt("A" * 26, at=AT):
            authenticator.forget(token_id)
    with pytest.raises(Conflict, match="attempt has ended"):
        authenticator.authenticate(f"Bearer {text}")
    clock.advance(timedelta(seconds=2))
    with pytest.raises(Conflict):
        elsewhere.authenticate(f"Bearer {text}")


def test_a_revoked_user_token_needs_a_login(database: Database, authenticator: Authenticator) -> None:
    text = mint(database)
    with database.write() as tx:
        TokenStore(tx).revoke(read_token(text).id, at=AT, by="ada")
    with pytest.raises(LoginNeeded, match="revoked"):
        authenticator.authenticate(f"Bearer {text}")


def test_a_token_expires_on_time_even_when_it_was_cached(
    database: Database,
    clock: FixedClock,
    authenticator: Authenticator,
) -> None:
    text = mint(database, expires_at=AT + timedelta(seconds=1))
    authenticator.authenticate(f"Bearer {text}")
    clock.advance(timedelta(seconds=1))
    with pytest.raises(LoginNeeded, match="expired"):
        authenticator.authenticate(f"Bearer {text}")


def test_the_cache_saves_the_look_up_and_stays_small(database: Database, clock: FixedClock) -> None:
    authenticator = Authenticator(database, clock)
    text = mint(database)
    authenticator.authenticate(f"Bearer {text}")
    with database.write() as tx:
        TokenStore(tx).revoke(read_token(text).id, at=AT, by="ada")
    assert authenticator.authenticate(f"Bearer {text}").user == "ada"
    # What is wrong is never kept: guessing must not fill the memory.
    for number in range(20):
        with pytest.raises(LoginNeeded):
            authenticator.authenticate(f"Bearer guess{number}")
    assert len(authenticator._known) == 1


def test_without_login_everybody_is_the_local_admin_but_a_training_stays_a_training(
    database: Database,
    clock: FixedClock,
) -> None:
    authenticator = Authenticator(database, clock, mode="none")
    for header in (None, "Bearer something", basic("me", "password-of-another-service")):
        principal = authenticator.authenticate(header)
        assert (principal.user, principal.role) == ("local", Role.ADMIN)
    text = mint(database, TokenKind.ATTEMPT, run_id="r" * 32)
    assert authenticator.authenticate(f"Bearer {text}").run_id == "r" * 32
    with pytest.raises(LoginNeeded):
        authenticator.authenticate("Bearer " + write_token("Z" * 26, "00" * 32))


def test_secrets_are_compared_in_constant_time() -> None:
    source = inspect.getsource(module)
    assert "hmac.compare_digest(stored, hash_secret" in source
    assert "secret ==" not in source


def test_the_password_may_contain_colons() -> None:
    assert token_in(basic("user", "a:b")) == "a:b"

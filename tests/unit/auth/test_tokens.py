from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from headway.auth.model import Role, TokenKind
from headway.auth.tokens import TokenStore, hash_secret, read_token, write_token
from headway.db import schema
from headway.db.connection import Database
from headway.errors import NotFound

AT = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


def mint_attempt(database: Database, attempt_id: str) -> str:
    with database.write() as tx:
        return TokenStore(tx).mint(
            TokenKind.ATTEMPT,
            "ada",
            role=Role.CONTRIBUTOR,
            at=AT,
            run_id="r" * 32,
            attempt_id=attempt_id,
            fence=3,
        )


def test_a_token_reads_back_and_any_changed_letter_is_noticed() -> None:
    text = write_token("0" * 26, "ab" * 32)
    parts = read_token(text)
    assert parts is not None
    assert (parts.id, parts.secret) == ("0" * 26, "ab" * 32)
    for place in range(len(text)):
        other = "1" if text[place] != "1" else "2"
        assert read_token(text[:place] + other + text[place + 1 :]) is None
    assert read_token("") is None
    assert read_token(text + "\n") is None


def test_only_the_hash_is_stored(database: Database) -> None:
    text = mint_attempt(database, "A" * 26)
    parts = read_token(text)
    assert parts is not None
    with database.read() as tx:
        found = TokenStore(tx).find(parts.id)
        everything = str(tx.execute(select(schema.token)).all()) + str(tx.execute(select(schema.event)).all())
    assert found is not None
    token, revoked = found
    assert not revoked
    assert token.secret_hash == hash_secret(parts.secret)
    assert (token.user, token.role, token.kind, token.run_id, token.fence) == (
        "ada",
        Role.CONTRIBUTOR,
        TokenKind.ATTEMPT,
        "r" * 32,
        3,
    )
    assert parts.secret not in everything


def test_an_attempts_tokens_end_together_and_once(database: Database) -> None:
    first, second, other = (read_token(mint_attempt(database, each * 26)) for each in "AAB")
    with database.write() as tx:
        ended = TokenStore(tx).revoke_attempt("A" * 26, at=AT)
    with database.write() as tx:
        again = TokenStore(tx).revoke_attempt("A" * 26, at=AT)
        kept = TokenStore(tx).find(other.id)
    assert set(ended) == {first.id, second.id}
    assert again == ()
    assert kept is not None
    assert not kept[1]


def test_people_see_their_tokens_and_not_those_of_attempts(database: Database) -> None:
    mint_attempt(database, "A" * 26)
    with database.write() as tx:
        store = TokenStore(tx)
        kept = read_token(store.mint(TokenKind.USER, "ada", role=Role.ADMIN, at=AT))
        gone = read_token(store.mint(TokenKind.USER, "bob", role=Role.VIEWER, at=AT))
        store.revoke(gone.id, at=AT, by="ada")
        store.revoke(gone.id, at=AT, by="ada")
        assert [token.id for token in store.list_user_tokens()] == [kept.id]
        states = tx.execute(select(schema.event.c.to_state).where(schema.event.c.entity_id == gone.id)).scalars().all()
    assert states == ["minted", "revoked"]


def test_an_unknown_token_cannot_be_revoked(database: Database) -> None:
    with database.write() as tx, pytest.raises(NotFound, match="no token nope"):
        TokenStore(tx).revoke("nope", at=AT, by="ada")

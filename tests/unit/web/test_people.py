"""The page of people: an administrator sees and ends everything, anybody else what is their own."""

from __future__ import annotations

import pytest

from fakes.site import Site
from headway.auth.model import Role, TokenKind
from headway.auth.tokens import TokenStore
from headway.auth.users import UserStore


@pytest.fixture
def maria(fresh: Site) -> str:
    """A person with a token; returns the token's id."""
    at = fresh.app.clock.now()
    with fresh.app.database.write() as tx:
        users = UserStore(tx)
        users.add("maria", Role.VIEWER, at=at, by="ada")
        users.grant("maria", "flights", role=Role.MAINTAINER, at=at, by="ada")
        text = TokenStore(tx).mint(TokenKind.USER, "maria", role=Role.VIEWER, at=at, label="laptop")
    return text.split("_")[1]


def test_an_administrator_sees_everybody_shuts_out_and_revokes(fresh: Site, maria: str) -> None:
    client = fresh.client()
    page = client.get("/people").text
    assert "flights: maintainer" in page
    assert "laptop" in page
    assert maria in page
    assert "hw_" not in page, "no token is ever shown again"
    assert client.post("/people/shut", data={"name": "maria", "to": "out"}).status_code == 303
    assert "shut out" in client.get("/people").text
    assert client.post("/people/shut", data={"name": "maria", "to": "in"}).status_code == 303
    assert client.post("/people/shut", data={"name": "maria", "to": "?"}).status_code == 400
    assert client.post("/people/tokens", data={"id": maria}).status_code == 303
    assert maria not in client.get("/people").text


def test_others_see_and_end_their_own_only(fresh: Site, maria: str) -> None:
    client = fresh.client(Role.CONTRIBUTOR)
    page = client.get("/people").text
    assert "maria" not in page
    assert "this one" in page
    assert client.post("/people/shut", data={"name": "maria", "to": "out"}).status_code == 403
    assert client.post("/people/tokens", data={"id": maria}).status_code == 404
    assert client.post("/people/tokens", data={"id": ""}).status_code == 404

"""Who signed a delivery (rule 1 of the forge door)."""

from __future__ import annotations

import pytest

from headway.errors import LoginNeeded, UsageError
from headway.forges.github.webhook import open_delivery, read_marks, read_payload, sign

VECTOR_SECRET = "It's a Secret to Everybody"
VECTOR = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"


def headers(signature: str, event: str = "ping") -> dict[str, str]:
    return {"X-GitHub-Event": event, "X-GitHub-Delivery": "d-1", "X-Hub-Signature-256": signature}


def test_github_s_own_vector() -> None:
    """Rule 1: GitHub's documentation gives secret, body and signature."""
    assert sign(b"Hello, World!", VECTOR_SECRET) == VECTOR
    with pytest.raises(UsageError, match="no JSON"):  # signed rightly, and then no JSON
        open_delivery(headers(VECTOR), b"Hello, World!", (VECTOR_SECRET,))


@pytest.mark.parametrize("secrets", [("a",), ("b", "a"), ("a", "b"), ("", "a")])
def test_any_secret_of_the_list_will_do(secrets: tuple[str, ...]) -> None:
    hook = open_delivery(headers(sign(b"{}", "a")), b"{}", secrets)
    assert hook is not None
    assert hook.event == "ping"


@pytest.mark.parametrize("secrets", [(), ("",), ("b",), ("b", "c", "A", "a ")])
def test_no_other_secret_and_none_at_all_will_not(secrets: tuple[str, ...]) -> None:
    for secret in ("a", ""):
        with pytest.raises(LoginNeeded):
            open_delivery(headers(sign(b"{}", secret)), b"{}", secrets)


def test_one_changed_byte_is_another_body() -> None:
    body = b'{"a": 1, "b": "c"}'
    for place in range(len(body)):
        other = body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]
        with pytest.raises(LoginNeeded):
            open_delivery(headers(sign(body, "a")), other, ("a",))


def test_what_is_not_github_s_at_all_is_nothing() -> None:
    assert read_marks({}) is None
    assert open_delivery({"x-github-event": "push"}, b"{}", ("a",)) is None


def test_more_digits_than_a_number_may_have_are_no_payload() -> None:
    for body in (b'{"a": ' + b"9" * 100_000 + b"}", b"[" * 100_000, b'{"a": Infinity}', b"\xff\xfe{}"):
        try:
            read_payload(body)
        except UsageError:
            continue

"""Answers kept for asking again: what is kept has a size, whatever is asked for."""

from __future__ import annotations

import json
import random

from headway.forges.github.known import Answer, KnownAnswers


def _keep(known: KnownAnswers, name: str, data: object, etag: str = "1") -> None:
    answer = Answer(data=data, next="https://x/2", status=200, headers={"etag": etag})
    known.keep(("app", name), etag, json.dumps(data).encode(), answer)


def test_an_answer_is_read_again_as_it_was() -> None:
    known = KnownAnswers()
    _keep(known, "a", [{"number": 1, "title": "ü"}])
    found = known.find(("app", "a"))
    assert found is not None and found.etag == "1"
    assert found.read() == Answer(
        data=[{"number": 1, "title": "ü"}], next="https://x/2", status=200, headers={"etag": "1"}
    )
    assert known.find(("person", "a")) is None
    _keep(known, "a", [], etag="2")
    newer = known.find(("app", "a"))
    assert newer is not None and (newer.etag, newer.read().data) == ("2", [])


def test_what_is_kept_has_a_size_and_the_longest_unasked_goes_first() -> None:
    known, noise = KnownAnswers(100_000), random.Random(1)
    for number in range(200):
        _keep(known, str(number), noise.randbytes(5_000).hex())
        known.find(("app", "0"))
    kept = [number for number in range(200) if known.find(("app", str(number))) is not None]
    assert 0 in kept and 199 in kept
    assert len(kept) < 25
    _keep(known, "huge", noise.randbytes(200_000).hex())
    assert known.find(("app", "huge")) is None
    assert known.find(("app", "0")) is not None


def test_an_answer_without_a_body_is_one() -> None:
    known = KnownAnswers()
    known.keep(("app", "a"), "1", b"", Answer(data=None, next=None, status=204, headers={}))
    found = known.find(("app", "a"))
    assert found is not None and found.read().data is None

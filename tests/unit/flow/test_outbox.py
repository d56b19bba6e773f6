"""What is wanted is kept once, the newest wins, and what cannot be sent waits longer and holds up no other."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update

from headway.db import schema
from headway.errors import Unreachable
from headway.flow import deliver, sending
from headway.flow.outbox import want
from headway.forges.local import LocalForge
from headway.forges.model import Receipt, StatusState, Wanted, WantedComment, WantedReaction, WantedStatus

if TYPE_CHECKING:
    from fakes.story import Story


class Moody(LocalForge):
    """A local forge that refuses some kinds, and may be asked for more while it delivers."""

    def __init__(self, story: Story) -> None:
        super().__init__(story.app.database, story.clock)
        self.refusals: dict[type, Exception] = {}
        self.sent: list[Wanted] = []
        self.meanwhile: Wanted | None = None
        self.story = story

    def deliver(self, wanted: Wanted) -> Receipt:
        if self.meanwhile is not None:
            _want(self.story, self.meanwhile)
            self.meanwhile = None
        if type(wanted) in self.refusals:
            raise self.refusals[type(wanted)]
        self.sent.append(wanted)
        return Receipt(remote_id="1")


def _want(story: Story, wanted: Wanted) -> bool:
    with story.app.database.write() as tx:
        return want(tx, wanted, story.clock.now())


def _rows(story: Story) -> list[Any]:
    with story.app.database.read() as tx:
        return list(tx.execute(select(schema.outbox).where(schema.outbox.c.kind != "told")))


def _moody(story: Story) -> Moody:
    forge = Moody(story)
    story.app = replace(story.app, forges={"local": forge})
    return forge


def _status(story: Story, title: str) -> WantedStatus:
    return WantedStatus(
        repo_id=story.repo.id, sha="a" * 40, context="headway/flights", state=StatusState.PENDING, title=title
    )


def _comment(story: Story, body: str) -> WantedComment:
    return WantedComment(repo_id=story.repo.id, number=1, marker="<!-- m -->", body=body)


def test_many_wishes_for_one_place_become_one_call(story: Story) -> None:
    forge = _moody(story)
    assert [_want(story, _status(story, str(each))) for each in (1, 1, 2, 3)] == [True, False, True, True]
    deliver.step(story.app, story.background)
    assert [each.title for each in forge.sent if isinstance(each, WantedStatus)] == ["3"]
    deliver.step(story.app, story.background)
    assert len(forge.sent) == 1


def test_what_cannot_be_sent_waits_longer_each_time_and_holds_up_nothing(story: Story) -> None:
    forge = _moody(story)
    forge.refusals[WantedComment] = ValueError("a defect of the forge's client")
    _want(story, _comment(story, "x"))
    _want(story, _status(story, "later"))
    waits = []
    for _ in range(4):
        deliver.step(story.app, story.background)
        row = next(row for row in _rows(story) if row.kind == "comment")
        waits.append((row.next_at - story.clock.now()).total_seconds())
        story.clock.forward(waits[-1])
    assert waits == [2, 4, 8, 16]
    assert [type(each) for each in forge.sent] == [WantedStatus]


def test_a_defect_ends_and_an_outage_does_not(story: Story) -> None:
    forge = _moody(story)
    forge.refusals = {WantedComment: ValueError("never"), WantedStatus: Unreachable("away")}
    _want(story, _comment(story, "x"))
    _want(story, _status(story, "x"))
    for _ in range(sending.MAX_TRIES + 3):
        deliver.step(story.app, story.background)
        story.clock.forward(301)
    dead = {row.kind: row.dead for row in _rows(story)}
    assert dead == {"comment": "never", "status": ""}
    forge.refusals = {}
    deliver.step(story.app, story.background)
    assert [type(each) for each in forge.sent] == [WantedStatus]
    assert _want(story, _comment(story, "y")), "a newer wish gives a dead place another life"
    deliver.step(story.app, story.background)
    assert [type(each) for each in forge.sent] == [WantedStatus, WantedComment]


def test_what_is_wanted_while_the_older_fails_is_sent_at_once(story: Story) -> None:
    forge = _moody(story)
    forge.refusals[WantedComment] = ValueError("too long")
    _want(story, _comment(story, "long"))
    forge.meanwhile = _comment(story, "short")
    deliver.step(story.app, story.background)
    forge.refusals = {}
    deliver.step(story.app, story.background)
    assert [each.body for each in forge.sent if isinstance(each, WantedComment)] == ["short"]


def test_what_is_wanted_while_the_older_is_sent_is_not_forgotten(story: Story) -> None:
    forge = _moody(story)
    _want(story, _comment(story, "first"))
    forge.meanwhile = _comment(story, "second")
    deliver.step(story.app, story.background)
    deliver.step(story.app, story.background)
    assert [each.body for each in forge.sent if isinstance(each, WantedComment)] == ["first", "second"]


def test_a_kind_of_a_later_version_holds_up_nothing(story: Story) -> None:
    forge = _moody(story)
    reaction = WantedReaction(repo_id=story.repo.id, number=1, comment_id="1", content="eyes")
    _want(story, reaction)
    with story.app.database.write() as tx:
        tx.execute(update(schema.outbox).values(kind="hologram"))
    _want(story, _status(story, "x"))
    deliver.step(story.app, story.background)
    assert [type(each) for each in forge.sent] == [WantedStatus]


def test_reports_are_made_again_only_for_what_something_happened_to(story: Story) -> None:
    one, two = story.change("one"), story.change("two")
    story.ended(one)
    second = story.ended(two)
    deliver.step(story.app, story.background)
    before = {row.coalesce_key: row.want_rev for row in _rows(story) if row.kind == "comment"}
    assert len(before) == 2
    story.clock.forward(100)
    deliver.step(story.app, story.background)
    assert before == {row.coalesce_key: row.want_rev for row in _rows(story) if row.kind == "comment"}
    story.queued(two, params={})
    story.clock.forward(100)
    deliver.step(story.app, story.background)
    after = {row.coalesce_key: row.want_rev for row in _rows(story) if row.kind == "comment"}
    assert [key for key in before if before[key] != after[key]] == [
        key for key in before if f":{second.change}:" in key
    ]

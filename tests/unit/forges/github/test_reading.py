"""Every recorded payload of our events, and what is grafted onto them, is read or ignored for the right reason."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fakes.github import oracle
from fakes.github.world import GitHubWorld
from headway.errors import HeadwayError, UsageError
from headway.forges.github.reading import Ignored, Reader
from headway.forges.github.webhook import KINDS, Hook, check_kind, kind_of
from headway.forges.model import (
    BranchPushed,
    ChangeLabelled,
    ChangeMoved,
    CheckPressed,
    CommentCreated,
    Dispatched,
    Event,
    QueueEntered,
)

THEIRS = Reader(app_id=29310, bot="octocoders-linter[bot]")  # the App whose checks the recordings show
ON_AN_ISSUE = "the comment is on an issue, not on a pull request"
STANDS = "stands where it stood"
# event -> action -> what it is, or the reason; "" is any action that is not named.
TABLE: dict[str, dict[str, type[Event] | str]] = {
    "issue_comment": {"created": ON_AN_ISSUE, "edited": "only a new comment", "deleted": "only a new comment"},
    "pull_request": {
        "opened": ChangeMoved,
        "reopened": ChangeMoved,
        "ready_for_review": ChangeMoved,
        "synchronize": ChangeMoved,
        "closed": ChangeMoved,
        "labeled": ChangeLabelled,
        "": STANDS,
    },
    "push": {"": BranchPushed},
    "check_run": {
        "rerequested": CheckPressed,
        "requested_action": "the check has no button",
        "created": "asks for nothing",
        "completed": "asks for nothing",
    },
    "check_suite": {"rerequested": CheckPressed, "": "ask for nothing"},
    "merge_group": {"checks_requested": QueueEntered},
    "repository_dispatch": {"": Dispatched},
    "deployment": {"": "not an event that anything here follows from"},
    "deployment_status": {"": "not an event"},
    "pull_request_review": {"": "not an event"},
    "installation": {"": "not an event"},
    "installation_repositories": {"": "not an event"},
    "ping": {"": "not an event"},
}
RECORDED = [
    pytest.param(name, example, id=f"{name}-{number}-{example.get('action', '')}")
    for name, examples in sorted(oracle.webhook_examples().items())
    for number, example in enumerate(examples)
]


def made_at(payload: dict[str, Any]) -> datetime:
    text = payload.get("comment", {}).get("created_at")
    return datetime.fromisoformat(text) if text else datetime.now(UTC)


def read(name: str, payload: dict[str, Any], reader: Reader = THEIRS, now: datetime | None = None) -> Event | Ignored:
    hook = Hook(event=name, delivery="d", data=payload)
    check_kind(hook)
    return reader.read(hook, now or made_at(payload))


def wanted(name: str, payload: dict[str, Any]) -> type[Event] | str:
    row = TABLE[name]
    found = row.get(payload.get("action", ""), row.get(""))
    assert found is not None, f"{name} {payload.get('action')} is in no row of the table"
    if name == "push" and payload["ref"].startswith("refs/tags/"):
        return "a tag was pushed"
    if name == "push" and payload["deleted"]:
        return "the branch was deleted"
    if name in ("check_run", "check_suite") and payload[name]["app"]["id"] != THEIRS.app_id:
        return "not ours"
    return found


@pytest.mark.parametrize(("name", "payload"), RECORDED)
def test_a_recorded_payload_is_read_or_ignored_for_its_reason(name: str, payload: dict[str, Any]) -> None:
    found, expected = read(name, payload), wanted(name, payload)
    if isinstance(expected, str):
        assert isinstance(found, Ignored), found
        assert expected in found.why
    else:
        assert isinstance(found, expected), found


@pytest.mark.parametrize(("name", "payload"), RECORDED)
def test_its_shape_alone_tells_its_kind_and_no_other_name_is_taken(name: str, payload: dict[str, Any]) -> None:
    """Row 6 of the attacks: the event's name is a header and not signed."""
    assert kind_of(payload) == (name if name in KINDS else "")
    for other in KINDS - {name}:
        with pytest.raises(UsageError, match="X-GitHub-Event says"):
            check_kind(Hook(event=other, delivery="d", data=payload))


def test_most_recordings_are_of_the_app_whose_eyes_we_read_with() -> None:
    kinds = {type(read(name, each)) for name, examples in oracle.webhook_examples().items() for each in examples}
    assert {ChangeMoved, ChangeLabelled, BranchPushed, QueueEntered, Dispatched, Ignored} <= kinds


def test_unknown_fields_are_dropped(tmp_path: Path) -> None:
    """What newer versions of GitHub add changes nothing."""

    def grown(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: grown(each) for name, each in value.items()} | {"new_in_2030": {"x": [1]}}
        return [grown(each) for each in value] if isinstance(value, list) else value

    for name, examples in oracle.webhook_examples().items():
        for each in examples:
            before, after = read(name, each), read(name, grown(each))
            assert type(before) is type(after)
            if isinstance(before, CommentCreated | ChangeMoved | ChangeLabelled):
                assert isinstance(after, type(before))
                assert before.change == after.change


# --- comments on pull requests: grafted, since none was recorded (rules 6, 7, 8) ----------------------


@pytest.fixture(scope="module")
def comment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    world = GitHubWorld(tmp_path_factory.mktemp("graft") / "g.git")
    world.commit("main", {"a": "b"})
    world.commit("better", {"a": "c"})
    world.open_pull("better")
    world.comment(1, "ada", "/train lr=0.1")
    payload = world.deliveries[-1].payload
    assert payload["issue"]["pull_request"]
    assert payload["installation"]
    assert oracle.webhook_problems("issue_comment", payload) == []
    return payload


OURS = Reader(app_id=4242, bot="headway-test[bot]")


def test_a_comment_on_a_pull_request_is_read_whole(comment: dict[str, Any]) -> None:
    """Rule 7: the text is the signed payload's."""
    found = read("issue_comment", comment, OURS)
    assert isinstance(found, CommentCreated)
    assert (found.comment.author, found.comment.body, found.comment.is_ours) == ("ada", "/train lr=0.1", False)
    assert (found.change.number, found.change.head_sha, found.change.from_fork) == (1, "", True)


def via(number: int) -> dict[str, Any]:
    return {"comment": {"performed_via_github_app": {"id": number}}}


GRAFTS: dict[str, tuple[dict[str, Any], str]] = {
    "a bot": ({"comment": {"user": {"type": "Bot"}}}, "a program wrote the comment"),
    "an App of somebody's": (via(7), "a program wrote the comment"),
    "our App": (via(4242), "the comment is our own"),
    "our bot": ({"comment": {"user": {"login": "headway-test[bot]"}}}, "the comment is our own"),
    "somebody else sent it": ({"sender": {"id": 5}}, "who sent the comment is not who wrote it"),
    "it was edited": ({"action": "edited"}, "only a new comment counts"),
    "it was deleted": ({"action": "deleted"}, "only a new comment counts"),
    "an action of the future": ({"action": "pinned"}, "only a new comment counts"),
    "no action": ({"action": None}, "only a new comment counts"),
    "nobody": ({"comment": {"user": None}}, "a program wrote the comment"),
}


@pytest.mark.parametrize("name", GRAFTS)
def test_what_a_person_did_not_just_write_is_no_command(comment: dict[str, Any], name: str) -> None:
    """Rule 6."""
    graft, why = GRAFTS[name]
    found = read("issue_comment", oracle.overlay(copy.deepcopy(comment), graft), OURS)
    assert isinstance(found, Ignored)
    assert why in found.why


def test_a_comment_lives_a_day(comment: dict[str, Any]) -> None:
    """Row 6 of the attacks."""
    at = made_at(comment)
    assert isinstance(read("issue_comment", comment, OURS, at + timedelta(hours=23, minutes=59)), CommentCreated)
    found = read("issue_comment", comment, OURS, at + timedelta(hours=24, seconds=1))
    assert found == Ignored("the comment is more than 24 hours old")


def test_a_draft_is_a_change_like_any_other(comment: dict[str, Any]) -> None:
    draft = oracle.overlay(copy.deepcopy(comment), {"issue": {"draft": True}})
    assert isinstance(read("issue_comment", draft, OURS), CommentCreated)


@pytest.mark.parametrize("field", ["issue", "comment", "sender"])
def test_what_its_kind_always_has_is_asked_for(comment: dict[str, Any], field: str) -> None:
    with pytest.raises(HeadwayError):
        read("issue_comment", {name: value for name, value in comment.items() if name != field}, OURS)


def test_the_same_happening_has_one_identity_however_it_comes(comment: dict[str, Any]) -> None:
    """Rule 2: the App's webhook and the repository's own differ in the installation alone."""
    plain = {name: value for name, value in reversed(comment.items()) if name != "installation"}
    first = Hook(event="issue_comment", delivery="a", data=comment)
    assert first.identity == Hook(event="issue_comment", delivery="b", data=plain).identity
    assert first.identity != Hook(event="issue_comment", delivery="a", data=plain | {"action": "edited"}).identity


def test_numbers_that_no_database_holds_are_refused(comment: dict[str, Any]) -> None:
    for number in (0, -1, 2**31, 2**70, 1.5, "1"):
        with pytest.raises(UsageError, match="another shape"):
            read("issue_comment", oracle.overlay(copy.deepcopy(comment), {"issue": {"number": number}}), OURS)


def test_a_group_of_a_merge_queue_names_its_change() -> None:
    found = read("merge_group", oracle.webhook_examples()["merge_group"][0])
    assert isinstance(found, QueueEntered)
    assert found.base_branch
    assert len(found.sha) == 40

"""The webhook door on a real socket: rules 1 to 4 of the forge door, and rows 5 and 6 of the table of attacks."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from fakes.github.answers import Asked, answer
from fakes.github.door import Door, know, open_door
from fakes.github.sender import SECRET
from fakes.github.world import INSTALLATION, NAME, Delivered
from headway.api.webhooks import BODY_CAP, PATH, Room
from headway.db import schema
from headway.errors import Unreachable, UsageError
from headway.forges.github.config import GitHubApp, GitHubConfig, save_config
from headway.forges.github.door import check_door
from headway.forges.github.payloads import repo_id
from headway.forges.github.webhook import sign
from headway.forges.repo_store import RepoStore
from headway.settings import Settings


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with open_door(tmp_path_factory.mktemp("door")) as opened:
        opened.world.commit("main", {"README.md": "x"})
        opened.world.commit("better", {"train.py": "x"})
        opened.world.open_pull("better")
        yield opened


@pytest.fixture
def door(house: Door) -> Door:
    with house.app.database.write() as tx:
        tx.execute(schema.inbox.delete())
    know(house.app, house.world)
    return house


def said(door: Door, text: str = "/train", **facts: Any) -> Delivered:
    door.world.comment(1, "ada", text)
    last = door.world.deliveries[-1]
    last.payload.update(facts)
    return last


# --- forged requests: rule 1, rule 2, row 5 ----------------------------------------------------------


def lines(delivered: Delivered, body: bytes, **changed: str | None) -> list[str]:
    given: dict[str, str | None] = {
        "Host": "127.0.0.1:{port}",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "X-GitHub-Event": delivered.event,
        "X-GitHub-Delivery": delivered.guid,
        "X-Hub-Signature-256": sign(body, SECRET),
    }
    given |= {name.replace("_", "-"): value for name, value in changed.items()}
    return [f"{name}: {value}" for name, value in given.items() if value is not None]


SIGNATURES: dict[str, Callable[[bytes], str | None]] = {
    "none": lambda _: None,
    "empty": lambda _: "",
    "another secret": lambda body: sign(body, "another secret of somebody's"),
    "the empty secret": lambda body: sign(body, ""),
    "of other bytes": lambda body: sign(body + b" ", SECRET),
    "of nothing": lambda _: sign(b"", SECRET),
    "sha1 said": lambda body: "sha1=" + sign(body, SECRET)[7:47],
    "sha512 said": lambda body: "sha512=" + sign(body, SECRET)[7:],
    "no algorithm": lambda body: sign(body, SECRET)[7:],
    "cut": lambda body: sign(body, SECRET)[:-1],
    "longer": lambda body: sign(body, SECRET) + "0",
    "capitals": lambda body: sign(body, SECRET).upper(),
    "two": lambda body: f"{sign(body, SECRET)}, {sign(body, SECRET)}",
    "zeros": lambda _: "sha256=" + "0" * 64,
    "other letters": lambda _: "sha256=" + "\u00e9" * 64,
    "spaces within": lambda body: sign(body, SECRET).replace("=", "= "),
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_what_nobody_of_ours_signed_is_refused_and_not_kept(door: Door, name: str) -> None:
    """Rule 1: constant-time over the raw bytes, before anything is parsed."""
    delivered = said(door)
    given = lines(delivered, delivered.body, X_Hub_Signature_256=SIGNATURES[name](delivered.body))
    status, answer = door.say([line.format(port=door.port) for line in given], delivered.body)
    assert status == 401, answer
    assert door.rows() == []


HEADS: dict[str, tuple[int, dict[str, str | None]]] = {
    "no event": (400, {"X_GitHub_Event": None}),
    "no delivery": (400, {"X_GitHub_Delivery": None}),
    "an event that is none": (400, {"X_GitHub_Event": "issue comment"}),
    "an event with a path": (400, {"X_GitHub_Event": "../push"}),
    "a delivery with a quote": (400, {"X_GitHub_Delivery": "a' OR 1=1"}),
    "a delivery that is too long": (400, {"X_GitHub_Delivery": "a" * 129}),
    "a form": (415, {"Content_Type": "application/x-www-form-urlencoded"}),
    "no type": (415, {"Content_Type": None}),
    "text": (415, {"Content_Type": "text/plain"}),
    "a type of JSON's": (415, {"Content_Type": "application/json+x"}),
    "packed": (415, {"Content_Encoding": "gzip"}),
    "another host": (403, {"Host": "evil.example"}),
    "no size": (400, {"Content_Length": None}),
    "over the cap by its own word": (413, {"Content_Length": str(BODY_CAP + 1)}),
    "over the cap behind many zeros": (413, {"Content_Length": "0" * 20 + str(BODY_CAP + 1)}),
    "a form that is over the cap": (415, {"Content_Type": "text/plain", "Content_Length": str(10**12)}),
    "unsigned and over the cap": (401, {"X_Hub_Signature_256": None, "Content_Length": str(10**12)}),
}


@pytest.mark.parametrize("name", HEADS)
def test_what_the_headers_give_away_is_refused_without_reading_a_body(door: Door, name: str) -> None:
    """Rules 1 and 2: no byte of a body is sent here, and the door answers all the same."""
    status, changed = HEADS[name]
    delivered = said(door)
    given = lines(delivered, delivered.body, **changed)
    answered, answer = door.say([line.format(port=door.port) for line in given])
    assert answered == status, answer
    assert door.rows() == []


@pytest.mark.parametrize("name", ["X-Hub-Signature-256", "X-GitHub-Event", "X-GitHub-Delivery", "Content-Type"])
def test_a_header_that_comes_twice_is_not_chosen_from(door: Door, name: str) -> None:
    delivered = said(door)
    given = [line.format(port=door.port) for line in lines(delivered, delivered.body)]
    status, _ = door.say([*given, *(line for line in given if line.startswith(name))], delivered.body)
    assert status == 400
    assert door.rows() == []


BODIES: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"{",
    "a list": b"[]",
    "a text": b'"x"',
    "not a number": b'{"zen": NaN}',
    "deep": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "half a letter": b'{"comment": "\xc3"}',
    "half a pair": b'{"comment": "\\ud800"}',
    "no fields": b"{}",
    "another shape": json.dumps({"action": "created", "issue": [], "comment": 1, "repository": {"id": 1}}).encode(),
}


@pytest.mark.parametrize("name", BODIES)
def test_what_is_signed_and_no_delivery_is_refused(door: Door, name: str) -> None:
    body = BODIES[name]
    delivered = Delivered(id=1, guid="a-1", event="issue_comment", payload={})
    status, answer = door.say([line.format(port=door.port) for line in lines(delivered, body)], body)
    assert status == 400, answer
    assert door.rows() == []


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_only_post_is_taken(door: Door, method: str) -> None:
    """Rule 1."""
    answer = door.sender.http.request(method, door.sender.url)
    assert not answer.is_success
    assert door.rows() == []


def test_a_body_that_never_comes_ends_after_a_while(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headway.api.webhooks.BODY_SECONDS", 0.2)
    delivered = said(door)
    given = [line.format(port=door.port) for line in lines(delivered, delivered.body)]
    status, answer = door.say(given, delivered.body[:100])
    assert status == 400, answer
    assert door.rows() == []


def test_unproved_bytes_have_a_limit_all_together() -> None:
    room = Room(100)
    with room.hold(60), room.hold(40), pytest.raises(Unreachable), room.hold(1):
        pass
    with room.hold(100):
        pass


# --- what is right: rule 2, rule 3 -------------------------------------------------------------------


def test_each_secret_of_the_list_is_taken(door: Door) -> None:
    """Rule 1: a list of secrets, so that one can be changed without a gap."""
    delivered = said(door)
    older = {"x-hub-signature-256": sign(delivered.body, "an older secret of this webhook")}
    assert door.sender.send(delivered, **older).json()["state"] == "accepted"
    assert door.sender.send(said(door)).json()["state"] == "accepted"


def test_the_public_address_is_a_name_of_this_server(door: Door) -> None:
    for host in ("headway.example", "headway.example:443", "HEADWAY.example"):
        assert door.sender.send(said(door), host=host).status_code == 202
    assert door.sender.send(said(door), host="headway.example:8080").status_code == 403


def test_ping_is_answered_and_not_kept(door: Door) -> None:
    delivered = door.world.tell("ping", sender=door.world.user("ada"))
    assert door.post("ping", delivered.payload, delivered.guid) == (202, {"state": "pong"})
    assert door.rows() == []


def test_a_delivery_that_comes_again_is_one(door: Door) -> None:
    """Rule 2: a redelivery has the same id."""
    delivered = said(door)
    states = [door.sender.send(delivered).json()["state"] for _ in range(3)]
    assert states == ["accepted", "duplicate", "duplicate"]
    assert door.commands() == ["/train"]


def test_a_captured_body_under_a_new_id_or_event_is_no_second_command(door: Door) -> None:
    """Row 6: the signature covers neither the id nor the event's name."""
    delivered = said(door)
    assert door.sender.send(delivered).json()["state"] == "accepted"
    for number in range(5):
        again = door.post("issue_comment", delivered.payload, f"replayed-{number}")
        assert again[1]["state"] == "duplicate"
    for event in ("push", "pull_request", "check_run", "merge_group", "repository_dispatch", "issues"):
        assert door.post(event, delivered.payload, f"as-{event}")[0] == 400
    assert len(door.rows()) == 1


def test_the_same_comment_through_the_repository_s_own_webhook_is_one(door: Door) -> None:
    """Rule 2: the App and a webhook of the repository tell of the same comment, under two ids."""
    delivered = said(door)
    other = copy.deepcopy(delivered.payload)
    del other["installation"]
    assert door.sender.send(delivered).json()["state"] == "accepted"
    assert door.post("issue_comment", other, "by-the-repository")[1]["state"] == "duplicate"


@pytest.mark.parametrize("event", ["labeled", "pressed", "queue", "push", "moved"])
def test_other_happenings_are_one_under_another_id_too(door: Door, event: str) -> None:
    """Row 6, for everything that may become a command."""
    world = door.world
    if event == "labeled":
        world.label(1, "train")
    elif event == "pressed":
        body = {"name": "headway/tiny", "head_sha": world.branches["better"], "external_id": "x"}
        _, made = answer(world, "checks/create", Asked({}, {}, body, "installation"))
        world.press(made["id"], "rerun")
    elif event == "queue":
        world.queue(1)
    else:
        world.commit("better", {"train.py": event})
    delivered = world.deliveries[-1] if event != "push" else world.deliveries[-2]
    assert door.sender.send(delivered).json()["state"] == "accepted"
    assert door.post(delivered.event, delivered.payload, "another-id")[1]["state"] == "duplicate"
    assert len(door.rows()) == 1


def test_the_same_call_of_another_system_is_one_for_ten_minutes(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call has no id and no time in it: a captured one must not be a flood, and tomorrow's is another."""
    door.world.dispatch("retrain", {"why": "new data"})
    first = door.world.deliveries[-1]
    began = door.app.clock.now()
    states = []
    for minutes in (0, 5, 9.9, 11, 12, 22):
        at = began + timedelta(minutes=minutes)
        monkeypatch.setattr(type(door.app.clock), "now", lambda _, at=at: at)
        states.append(door.post(first.event, first.payload, f"at-{int(minutes * 10)}")[1]["state"])
    assert states == ["accepted", "duplicate", "duplicate", "accepted", "duplicate", "accepted"]


def test_an_old_comment_is_not_acted_on(door: Door) -> None:
    """Row 6: what was captured is worthless after a day, and so is what was sent again by hand."""
    delivered = said(door)
    delivered.payload["comment"]["created_at"] = "2026-01-01T00:00:00Z"
    status, answer = door.post("issue_comment", delivered.payload, delivered.guid)
    assert (status, answer["state"], answer["why"]) == (202, "ignored", "the comment is more than 24 hours old")
    assert door.rows() == []


# --- whose: rule 4 -----------------------------------------------------------------------------------


def test_a_repository_that_nobody_added_is_not_known(door: Door) -> None:
    """Rule 4: by its number; a name may be taken by somebody else."""
    delivered = said(door)
    delivered.payload["repository"]["id"] += 1
    assert door.post("issue_comment", delivered.payload, delivered.guid)[0] == 404
    assert door.rows() == []


def test_a_repository_that_was_renamed_is_known(door: Door) -> None:
    delivered = said(door)
    delivered.payload["repository"]["full_name"] = "acme/renamed"
    assert door.post("issue_comment", delivered.payload, delivered.guid)[1]["state"] == "accepted"


def test_another_installation_is_refused(door: Door) -> None:
    """Rule 4: the installation must be the repository's own, and nothing is asked for it."""
    delivered = said(door)
    delivered.payload["installation"]["id"] = INSTALLATION + 1
    assert door.post("issue_comment", delivered.payload, delivered.guid)[0] == 403
    assert door.rows() == []


def installed(door: Door, action: str, number: int = INSTALLATION, **facts: Any) -> dict[str, Any]:
    delivered = door.world.tell("installation", action, sender=door.world.user("ada"))
    payload = {**delivered.payload, **facts, "installation": {**delivered.payload["installation"], "id": number}}
    payload.pop("repository", None)
    status, answer = door.post("installation", payload, delivered.guid)
    assert status == 202, answer
    return answer


def test_an_installation_that_was_removed_speaks_no_more_and_a_new_one_does(door: Door) -> None:
    """Rule 4: what is known of installations follows GitHub's own deliveries about them."""
    installed(door, "deleted", repositories=[])
    assert door.sender.send(said(door)).status_code == 403
    installed(door, "created", 99, repositories=[{"id": door.world.repo_number}, {"id": 5}])
    delivered = said(door)
    delivered.payload["installation"]["id"] = 99
    assert door.post("issue_comment", delivered.payload, delivered.guid)[1]["state"] == "accepted"
    installed(door, "deleted", INSTALLATION, repositories=[])  # an old delivery, sent again
    delivered = said(door)
    delivered.payload["installation"]["id"] = 99
    assert door.post("issue_comment", delivered.payload, delivered.guid)[1]["state"] == "accepted"
    with door.app.database.read() as tx:
        assert RepoStore(tx).installation(repo_id(5)) is None


def test_a_repository_that_was_taken_from_the_installation_is_refused(door: Door) -> None:
    delivered = door.world.tell("installation_repositories", "removed", sender=door.world.user("ada"))
    payload = {
        **delivered.payload,
        "repositories_added": [],
        "repositories_removed": [{"id": door.world.repo_number, "full_name": NAME}],
    }
    assert door.post("installation_repositories", payload, delivered.guid)[1] == {"state": "noted"}
    assert door.sender.send(said(door)).status_code == 403
    payload |= {"repositories_added": payload["repositories_removed"], "repositories_removed": []}
    assert door.post("installation_repositories", payload, "later")[0] == 202
    assert door.sender.send(said(door)).status_code == 202


def test_a_server_with_a_person_s_token_takes_the_repository_s_webhook(tmp_path: Path) -> None:
    with open_door(tmp_path, with_app=False) as door:
        door.world.commit("main", {"README.md": "x"})
        door.world.commit("better", {"train.py": "x"})
        door.world.open_pull("better")
        assert door.sender.send(said(door)).json()["state"] == "accepted"


# --- opening the door: rule 1 ------------------------------------------------------------------------

APP = GitHubApp(id=1, slug="headway", private_key="k")
LONG = "0123456789abcdef"


def opened(folder: Path, public_url: str, **config: Any) -> None:
    save_config(folder / "github", GitHubConfig(**config))
    check_door(Settings(data=folder, public_url=public_url))


@pytest.mark.parametrize(
    ("public_url", "config", "words"),
    [
        ("https://headway.example", {"app": APP}, "has no webhook secret"),
        ("https://headway.example", {"app": APP, "webhook_secrets": ("",)}, "0 characters"),
        ("", {"app": APP, "webhook_secrets": ("   ",)}, "0 characters"),
        ("", {"app": APP, "webhook_secrets": (LONG, "short")}, "5 characters"),
        ("", {"webhook_secrets": (LONG,)}, "no way to ask GitHub"),
    ],
)
def test_a_door_that_could_not_tell_friend_from_foe_keeps_the_server_from_starting(
    tmp_path: Path, public_url: str, config: dict[str, Any], words: str
) -> None:
    """Rule 1: refuse to start without a secret."""
    with pytest.raises(UsageError, match=words):
        opened(tmp_path, public_url, **config)


@pytest.mark.parametrize(
    ("public_url", "config"),
    [
        ("https://headway.example", {"app": APP, "webhook_secrets": (LONG,)}),
        ("https://headway.example", {"token": "t"}),  # it polls
        ("http://127.0.0.1:7474", {"app": APP}),  # nobody can reach it: it polls
        ("", {"app": APP}),
        ("", {}),
    ],
)
def test_a_server_that_polls_or_has_a_secret_starts(tmp_path: Path, public_url: str, config: dict[str, Any]) -> None:
    opened(tmp_path, public_url, **config)


def test_without_a_secret_there_is_no_door(tmp_path: Path) -> None:
    with open_door(tmp_path, secrets=()) as door:
        status, _ = door.say([f"Host: 127.0.0.1:{door.port}", "Content-Length: 0"], path=PATH)
        assert status in (404, 405)


def test_the_door_answers_without_asking_github(door: Door) -> None:
    """Rule 3: nothing that could wait is done before the answer; the address of this GitHub leads nowhere."""
    began = time.monotonic()
    assert door.sender.send(said(door)).status_code == 202
    assert time.monotonic() - began < 60  # a request to nowhere would have failed the delivery

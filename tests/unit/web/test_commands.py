"""Buttons, comment box and merge: each does exactly what the same words in a comment would."""

from __future__ import annotations

import pytest

from fakes.site import Site
from headway.auth.model import Role
from headway.commands.model import Command, CommandState, Origin, Verb
from headway.commands.store import CommandStore
from headway.forges.local import LocalForge
from headway.forges.model import ChangeState


def asked(site: Site) -> list[Command]:
    with site.app.database.read() as tx:
        return [each for each in CommandStore(tx).of_repo(site.repo.id) if each.origin is Origin.WEB]


def forge(site: Site) -> LocalForge:
    found = site.app.forges["local"]
    assert isinstance(found, LocalForge)
    return found


def button(site: Site, text: str, **more: str) -> dict[str, str]:
    change = site.changes[0]
    return {"repo": site.repo.id, "change": str(change.number), "head": change.head_sha, "text": text, **more}


def test_a_button_makes_the_command_that_a_comment_makes(full: Site) -> None:
    before = len(asked(full))
    change = full.changes[0]
    answer = full.client().post("/commands", data=button(full, "/train lr=0.1"))
    assert (answer.status_code, answer.headers["location"]) == (
        303,
        f"/changes/{full.repo.id}/{change.number}#commands",
    )
    command, *_ = asked(full)
    assert len(asked(full)) == before + 1
    assert (command.verb, command.params, command.actor) == (Verb.TRAIN, {"lr": "0.1"}, "ada")
    assert (command.change, command.head_sha, command.state) == (change.number, change.head_sha, CommandState.ACCEPTED)


def test_every_button_of_the_change_page_is_a_command(full: Site) -> None:
    before = len(asked(full))
    client, change = full.client(), full.changes[0]
    page = client.get(f"/changes/{full.repo.id}/{change.number}").text
    for text in ("/train", "/plan", "/stop", "/deploy", "/approve", "/rollback"):
        assert f'value="{text}"' in page
        assert client.post("/commands", data=button(full, text)).status_code == 303
    assert {each.verb.value for each in asked(full)[:6]} == {"train", "plan", "stop", "deploy", "approve", "rollback"}
    assert len(asked(full)) == before + 6


def test_what_is_approved_is_what_the_page_showed(fresh: Site) -> None:
    client, old = fresh.client(), button(fresh, "/deploy")
    fresh.repository.commit("better", {"train.py": "something else\n"})
    answer = client.post("/commands", data=old)
    assert answer.status_code == 409
    assert "has moved" in answer.text
    assert asked(fresh) == []


def test_a_command_without_a_change_is_for_the_default_branch(fresh: Site) -> None:
    client = fresh.client()
    answer = client.post("/commands", data={"repo": fresh.repo.id, "text": "/deploy #2 --to production"})
    (command,) = asked(fresh)
    assert answer.headers["location"] == f"/commands/{command.id}"
    assert (command.branch, command.head_sha) == ("main", fresh.repository.head("main"))
    assert (command.arguments, command.environment) == (("2",), "production")
    page = client.get(f"/commands/{command.id}")
    assert "Waiting for the worker" in page.text
    assert 'hx-trigger="every 1s"' in page.text


def test_going_back_names_a_version(full: Site) -> None:
    before = len(asked(full))
    given = {"repo": full.repo.id, "text": "/rollback production --project flights", "version": "7"}
    full.client().post("/commands", data=given)
    command, *_ = asked(full)
    assert len(asked(full)) == before + 1
    assert (command.verb, command.params, command.project) == (Verb.ROLLBACK, {"version": "7"}, "flights")


@pytest.mark.parametrize("text", ["", "hello", "/nope", "please /train", "/deploy #1 #2 #3 #4", "> /train"])
def test_what_is_no_command_is_explained_and_nothing_is_recorded(full: Site, text: str) -> None:
    before = len(asked(full))
    answer = full.client().post("/commands", data=button(full, text))
    assert answer.status_code == 400
    assert 'role="alert"' in answer.text
    assert len(asked(full)) == before


@pytest.mark.parametrize(
    ("role", "text", "allowed"),
    [
        (Role.VIEWER, "/train", False),
        (Role.VIEWER, "/why", True),
        (Role.CONTRIBUTOR, "/train", True),
        (Role.CONTRIBUTOR, "/stop", True),
        (Role.CONTRIBUTOR, "/deploy", False),
        (Role.CONTRIBUTOR, "/rollback", False),
        (Role.CONTRIBUTOR, "/approve", False),
        (Role.CONTRIBUTOR, "/override val_auc because", False),
        (Role.MAINTAINER, "/deploy", True),
        (Role.MAINTAINER, "/approve", True),
    ],
)
def test_a_token_allows_what_its_role_allows(full: Site, role: Role, text: str, allowed: bool) -> None:  # noqa: FBT001  # a table
    before = len(asked(full))
    answer = full.client(role).post("/commands", data=button(full, text))
    assert answer.status_code == (303 if allowed else 403)
    assert len(asked(full)) == before + allowed


@pytest.mark.parametrize("change", ["x", "-1", "1" * 20, "²", "999"])
def test_a_change_that_is_none_is_explained(full: Site, change: str) -> None:
    before = len(asked(full))
    answer = full.client().post("/commands", data=button(full, "/train", change=change))
    assert answer.status_code in (400, 404)
    assert len(asked(full)) == before


def test_a_comment_is_written_as_the_visitor(fresh: Site) -> None:
    change = fresh.changes[0]
    place = f"/changes/{fresh.repo.id}/{change.number}"
    answer = fresh.client().post(f"{place}/comments", data={"body": "looks good\r\n/train"})
    assert (answer.status_code, answer.headers["location"]) == (303, f"{place}#conversation")
    said = forge(fresh).show(fresh.repo.id, change.number).comments[-1]
    assert (said.author, said.body, said.is_ours) == ("ada", "looks good\n/train", False)
    assert fresh.client().post(f"{place}/comments", data={"body": "  "}).status_code == 400
    assert fresh.client().post(f"{place}/comments", data={"body": "x" * 65_537}).status_code == 413


def test_a_form_that_is_too_long_is_not_read(full: Site) -> None:
    assert full.client().post("/commands", data={"text": "x" * (1 << 19)}).status_code == 413
    assert full.client().post("/commands", content=b"\xff\xfe=\xff").status_code == 400


def test_a_red_change_is_not_merged_and_the_page_says_why(fresh: Site) -> None:
    client, change = fresh.client(), fresh.changes[1]
    place = f"/changes/{fresh.repo.id}/{change.number}"
    assert "headway/flights is red" in client.get(place).text
    answer = client.post(f"{place}/merge", data={"head": change.head_sha})
    assert answer.status_code == 403
    assert forge(fresh).get_change(fresh.repo.id, change.number).state is ChangeState.OPEN


def test_a_green_change_is_merged_by_who_may_write_there(fresh: Site) -> None:
    change = fresh.changes[0]
    place = f"/changes/{fresh.repo.id}/{change.number}"
    assert fresh.client().post(f"{place}/merge", data={"head": change.head_sha}).status_code == 403, "ada is unknown"
    fresh.repository.git("config", "headway.role.ada", "maintain")
    moved = fresh.client().post(f"{place}/merge", data={"head": "0" * 40})
    assert moved.status_code == 409
    answer = fresh.client().post(f"{place}/merge", data={"head": change.head_sha})
    assert answer.status_code == 303, answer.text
    assert forge(fresh).get_change(fresh.repo.id, change.number).state is ChangeState.MERGED

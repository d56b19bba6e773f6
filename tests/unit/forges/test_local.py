from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
import pytest
from sqlalchemy import select

from fakes.repository import Repository
from headway.auth.model import Role
from headway.auth.projects import ProjectStore
from headway.auth.users import UserStore
from headway.clock import FixedClock
from headway.db import schema
from headway.db.connection import Database
from headway.errors import Conflict, NotFound, Refused, TooLarge, UsageError
from headway.forges import local
from headway.forges.git_merge import MergeMethod
from headway.forges.local import LocalForge
from headway.forges.model import (
    BranchPushed,
    ChangeMoved,
    ChangeState,
    Permission,
    StatusState,
    WantedComment,
    WantedStatus,
)
from headway.forges.os_user import os_user
from headway.forges.repo_store import RepoStore

if TYPE_CHECKING:
    from pathlib import Path

AT = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
CONTEXT = "headway/flights"


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


@pytest.fixture
def forge(database: Database) -> LocalForge:
    return LocalForge(database, FixedClock(AT))


@pytest.fixture
def repo_id(forge: LocalForge, repository: Repository) -> str:
    return forge.register_repo(repository.path).id


def say(forge: LocalForge, repo_id: str, sha: str, state: StatusState, context: str = CONTEXT) -> None:
    forge.deliver(WantedStatus(repo_id=repo_id, sha=sha, context=context, state=state, title="the verdict"))


def merge(forge: LocalForge, repo_id: str, number: int, **more: object) -> str:
    options = {"actor": os_user(), "method": MergeMethod.SQUASH, "required": (CONTEXT,), **more}
    return forge.merge(repo_id, number, **options).sha  # type: ignore[arg-type]  # a test's shorthand


# --- repositories ---------------------------------------------------------------------------------


def test_a_repository_is_registered_once_by_whatever_path(
    forge: LocalForge,
    repository: Repository,
    database: Database,
    tmp_path: Path,
) -> None:
    repository.commit("main", {"projects/a/headway.yaml": "name: a\n"})
    repository.git("worktree", "add", "-q", "-b", "other", str(tmp_path / "linked"))
    repos = {
        forge.register_repo(path) for path in (repository.path, repository.path / "projects" / "a", tmp_path / "linked")
    }
    (repo,) = repos
    assert (repo.forge, repo.name, repo.location, repo.default_branch) == (
        "local",
        "repository",
        str(repository.path),
        "main",
    )
    with database.read() as tx:
        assert RepoStore(tx).list() == (repo,)
        assert RepoStore(tx).get(repo.id) == repo


def test_registering_again_keeps_the_cursor_and_learns_a_new_default_branch(
    forge: LocalForge,
    repository: Repository,
    database: Database,
) -> None:
    repo = forge.register_repo(repository.path)
    with database.write() as tx:
        RepoStore(tx).set_cursor(repo.id, "7")
    repository.git("branch", "-m", "main", "trunk")
    again = forge.register_repo(repository.path)
    assert (again.id, again.default_branch) == (repo.id, "trunk")
    with database.read() as tx:
        assert RepoStore(tx).cursor(repo.id) == "7"


def test_a_repository_that_is_gone_is_said(forge: LocalForge, repository: Repository, repo_id: str) -> None:
    (repository.path / ".git").rename(repository.path / "moved")
    with pytest.raises(NotFound, match="no longer at"):
        forge.git(repo_id)


def test_a_name_for_an_unknown_repository_is_not_found(database: Database) -> None:
    with database.read() as tx:
        assert RepoStore(tx).find("nowhere") is None
        assert RepoStore(tx).cursor("nowhere") == ""
        with pytest.raises(NotFound, match="no repository 'nowhere'"):
            RepoStore(tx).get("nowhere")


# --- opening, closing -------------------------------------------------------------------------------


def test_a_change_is_numbered_and_titled_by_its_last_commit(
    forge: LocalForge,
    repository: Repository,
    repo_id: str,
) -> None:
    repository.commit("one", {"a.txt": "1\n"}, "Use the weather\n\nStorms make flights late.")
    repository.commit("two", {"b.txt": "1\n"})
    first = forge.open_change(repo_id, "one")
    second = forge.open_change(repo_id, "two", title=" Mine ", author="dan", from_fork=True)
    assert (first.number, first.title, first.author, first.from_fork) == (1, "Use the weather", os_user(), False)
    assert (second.number, second.title, second.author, second.from_fork) == (2, "Mine", "dan", True)
    assert [change.number for change in forge.list_changes(repo_id)] == [2, 1]
    assert forge.list_changes(repo_id, ChangeState.MERGED) == ()


def test_what_cannot_be_proposed_is_said(forge: LocalForge, repository: Repository, repo_id: str) -> None:
    repository.git("branch", "same")
    with pytest.raises(UsageError, match="same has nothing that main does not have"):
        forge.open_change(repo_id, "same")
    with pytest.raises(NotFound, match="no branch 'nowhere'"):
        forge.open_change(repo_id, "nowhere")
    with pytest.raises(UsageError, match="cannot be the name of a branch"):
        forge.open_change(repo_id, "--exec=x")
    repository.commit("one", {"a.txt": "1\n"})
    forge.open_change(repo_id, "one")
    with pytest.raises(Conflict, match="change 1 proposes one to main already"):
        forge.open_change(repo_id, "one")


def test_closing_and_reopening_are_told_once_each(forge: LocalForge, repository: Repository, repo_id: str) -> None:
    repository.commit("one", {"a.txt": "1\n"})
    forge.open_change(repo_id, "one")
    start = forge.events_since(repo_id, "").cursor
    for _ in range(2):
        assert forge.close(repo_id, 1, actor="dan").state is ChangeState.CLOSED
    for _ in range(2):
        assert forge.reopen(repo_id, 1, actor="dan").state is ChangeState.OPEN
    events = forge.events_since(repo_id, start).events
    assert [(event.action, event.actor) for event in events if isinstance(event, ChangeMoved)] == [
        ("closed", "dan"),
        ("reopened", "dan"),
    ]


def test_an_open_change_whose_base_is_gone_says_so_instead_of_guessing_its_rules(
    forge: LocalForge,
    repository: Repository,
    repo_id: str,
) -> None:
    repository.git("branch", "release")
    repository.commit("one", {"a.txt": "1\n"})
    forge.open_change(repo_id, "one", base_ref="release")
    repository.git("branch", "-D", "release")
    with pytest.raises(NotFound, match="'release', and that branch is gone"):
        forge.get_change(repo_id, 1)
    assert [change.number for change in forge.list_changes(repo_id)] == [1]
    assert forge.close(repo_id, 1, actor="dan").state is ChangeState.CLOSED


def test_a_deleted_head_branch_leaves_the_change_at_its_last_commit(
    forge: LocalForge,
    repository: Repository,
    repo_id: str,
) -> None:
    head = repository.commit("one", {"a.txt": "1\n"})
    forge.open_change(repo_id, "one")
    repository.git("branch", "-D", "one")
    assert forge.events_since(repo_id, "0").events
    assert forge.get_change(repo_id, 1).head_sha == head


def test_two_at_once_get_two_numbers(forge: LocalForge, repository: Repository, repo_id: str) -> None:
    names = [f"branch{number}" for number in range(6)]
    for name in names:
        repository.commit(name, {f"{name}.txt": "1\n"})
    threads = [threading.Thread(target=forge.open_change, args=(repo_id, name)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert sorted(change.number for change in forge.list_changes(repo_id)) == [1, 2, 3, 4, 5, 6]


# --- events -----------------------------------------------------------------------------------------


def test_pushes_are_told_once_however_many_listen_at_once(
    forge: LocalForge,
    repository: Repository,
    repo_id: str,
) -> None:
    repository.commit("one", {"a.txt": "1\n"})
    forge.open_change(repo_id, "one")
    start = forge.events_since(repo_id, "").cursor
    repository.commit("one", {"a.txt": "2\n"})
    repository.commit("main", {"b.txt": "1\n"})
    threads = [threading.Thread(target=forge.events_since, args=(repo_id, start)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    events = forge.events_since(repo_id, start).events
    assert sorted(type(event).__name__ for event in events) == ["BranchPushed", "BranchPushed", "ChangeMoved"]


def test_events_survive_a_new_process_and_come_in_pages(
    forge: LocalForge,
    repository: Repository,
    repo_id: str,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(local, "_PAGE", 4)
    repository.commit("one", {"a.txt": "1\n"})
    forge.open_change(repo_id, "one")
    for number in range(4):
        forge.add_comment(repo_id, 1, author="ada", body=f"comment {number}")
    again = LocalForge(database, FixedClock(AT + timedelta(hours=1)))
    first = again.events_since(repo_id, "0")
    second = again.events_since(repo_id, first.cursor)
    assert len(first.events) == 4
    assert len(first.events) + len(second.events) == 6
    assert again.events_since(repo_id, second.cursor).events == ()
    assert len({event.delivery for event in (*first.events, *second.events)}) == 6


def test_another_repositorys_events_are_not_mixed_in(
    forge: LocalForge,
    repository: Repository,
    repo_id: str,
    tmp_path: Path,
) -> None:
    other = Repository(tmp_path / "other")
    other_id = forge.register_repo(other.path).id
    repository.commit("one", {"a.txt": "1\n"})
    forge.open_change(repo_id, "one")
    assert forge.events_since(other_id, "0").events == ()
    with pytest.raises(NotFound):
        forge.get_change(other_id, 1)


def test_a_deleted_branch_is_no_push_and_a_restored_one_is(
    forge: LocalForge,
    repository: Repository,
    repo_id: str,
) -> None:
    sha = repository.commit("one", {"a.txt": "1\n"})
    start = forge.events_since(repo_id, "").cursor
    repository.git("branch", "-D", "one")
    assert forge.events_since(repo_id, start).events == ()
    repository.git("branch", "one", sha)
    (event,) = forge.events_since(repo_id, start).events
    assert isinstance(event, BranchPushed)
    assert (event.branch, event.before_sha, event.after_sha) == ("one", None, sha)


def test_a_merge_by_hand_is_noticed(forge: LocalForge, repository: Repository, repo_id: str) -> None:
    repository.commit("one", {"a.txt": "1\n"})
    forge.open_change(repo_id, "one")
    start = forge.events_since(repo_id, "").cursor
    repository.git("merge", "-q", "--no-ff", "--no-edit", "one")
    events = forge.events_since(repo_id, start).events
    assert [event.action for event in events if isinstance(event, ChangeMoved)] == ["merged"]
    change = forge.get_change(repo_id, 1)
    assert (change.state, change.merged_sha) == (ChangeState.MERGED, repository.head())


def test_a_cursor_of_another_forge_is_refused(forge: LocalForge, repo_id: str) -> None:
    with pytest.raises(UsageError, match="not a cursor"):
        forge.events_since(repo_id, "2026-11-20T09:00:00Z")


# --- comments ---------------------------------------------------------------------------------------


def test_a_comment_has_limits(forge: LocalForge, repository: Repository, repo_id: str) -> None:
    repository.commit("one", {"a.txt": "1\n"})
    forge.open_change(repo_id, "one")
    with pytest.raises(TooLarge):
        forge.add_comment(repo_id, 1, author="ada", body="x" * 65_537)
    with pytest.raises(UsageError):
        forge.add_comment(repo_id, 1, author="ada", body=" \n")
    with pytest.raises(NotFound):
        forge.add_comment(repo_id, 2, author="ada", body="hello")
    assert forge.show(repo_id, 1).comments == ()


def test_a_report_that_two_deliver_at_once_is_one_comment(
    forge: LocalForge,
    repository: Repository,
    repo_id: str,
) -> None:
    repository.commit("one", {"a.txt": "1\n"})
    forge.open_change(repo_id, "one")
    wanted = WantedComment(repo_id=repo_id, number=1, marker="<!-- m -->", body="<!-- m -->\nrunning")
    threads = [threading.Thread(target=forge.deliver, args=(wanted,)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert len(forge.show(repo_id, 1).comments) == 1


# --- permissions ------------------------------------------------------------------------------------


def test_the_user_of_this_machine_is_admin_and_others_are_what_the_config_says(
    forge: LocalForge,
    repository: Repository,
    repo_id: str,
) -> None:
    repository.git("config", "headway.role.Dan-B", "Maintain")
    repository.git("config", "headway.role.eve", "emperor")
    expected = {
        os_user(): Permission.ADMIN,
        "local": Permission.ADMIN,
        "dan-b": Permission.MAINTAIN,
        "Dan-B": Permission.MAINTAIN,
        "eve": Permission.NONE,
        "dan": Permission.NONE,
        ".*": Permission.NONE,
    }
    assert {user: forge.get_permission(repo_id, user) for user in expected} == expected


# --- merging ----------------------------------------------------------------------------------------


def test_a_change_is_merged_only_when_its_status_is_green_on_exactly_its_head(
    forge: LocalForge,
    repository: Repository,
    repo_id: str,
) -> None:
    old = repository.commit("one", {"a.txt": "1\n"})
    forge.open_change(repo_id, "one")
    with pytest.raises(Refused, match="headway/flights was never run") as caught:
        merge(forge, repo_id, 1)
    assert "/train" in caught.value.hint
    for state in (StatusState.PENDING, StatusState.FAILURE, StatusState.ERROR, StatusState.CANCELLED):
        say(forge, repo_id, old, state)
        with pytest.raises(Refused, match=f"headway/flights is {state.value}") as caught:
            merge(forge, repo_id, 1)
        assert caught.value.cause == "the verdict"
    say(forge, repo_id, old, StatusState.SUCCESS)
    new = repository.commit("one", {"a.txt": "2\n"})
    with pytest.raises(Refused, match=f"never run on {new[:12]}"):
        merge(forge, repo_id, 1)
    say(forge, repo_id, new, StatusState.SUCCESS)
    assert merge(forge, repo_id, 1) == repository.head()


def test_every_project_must_be_green_and_unknown_evidence_is_none(
    forge: LocalForge,
    repository: Repository,
    repo_id: str,
) -> None:
    head = repository.commit("one", {"a.txt": "1\n"})
    forge.open_change(repo_id, "one")
    with pytest.raises(Refused, match="no status to go by"):
        merge(forge, repo_id, 1, required=())
    say(forge, repo_id, repository.head(), StatusState.SUCCESS, "headway/other")
    with pytest.raises(Refused, match="headway/other was never run"):
        merge(forge, repo_id, 1, required=())
    say(forge, repo_id, head, StatusState.SUCCESS)
    with pytest.raises(Refused, match="headway/other was never run"):
        merge(forge, repo_id, 1, required=(CONTEXT, "headway/other"))
    assert merge(forge, repo_id, 1) == repository.head()


def test_who_may_not_write_may_not_merge(forge: LocalForge, repository: Repository, repo_id: str) -> None:
    head = repository.commit("one", {"a.txt": "1\n"})
    forge.open_change(repo_id, "one")
    say(forge, repo_id, head, StatusState.SUCCESS)
    with pytest.raises(Refused, match="mallory may not merge here"):
        merge(forge, repo_id, 1, actor="mallory")
    repository.git("config", "headway.role.mallory", "triage")
    with pytest.raises(Refused):
        merge(forge, repo_id, 1, actor="mallory")
    repository.git("config", "headway.role.mallory", "write")
    assert merge(forge, repo_id, 1, actor="mallory") == repository.head()
    assert repository.git("log", "-1", "--format=%an") == "mallory"


def test_a_head_that_moved_since_it_was_looked_at_is_not_merged(
    forge: LocalForge,
    repository: Repository,
    repo_id: str,
) -> None:
    old = repository.commit("one", {"a.txt": "1\n"})
    forge.open_change(repo_id, "one")
    new = repository.commit("one", {"a.txt": "2\n"})
    say(forge, repo_id, new, StatusState.SUCCESS)
    with pytest.raises(Conflict, match="was pushed to"):
        merge(forge, repo_id, 1, head_sha=old)
    assert merge(forge, repo_id, 1, head_sha=new) == repository.head()


def test_what_a_merge_says_can_be_sent(forge: LocalForge, repository: Repository, repo_id: str) -> None:
    head = repository.commit("one", {"a.txt": "1\n"})
    forge.open_change(repo_id, "one")
    say(forge, repo_id, head, StatusState.SUCCESS)
    result = forge.merge(repo_id, 1, actor=os_user(), method=MergeMethod.MERGE, required=(CONTEXT,))
    sent = msgspec.json.decode(msgspec.json.encode(result))
    assert (sent["sha"], sent["updated"], sent["change"]["state"]) == (
        repository.head(),
        [str(repository.path)],
        "merged",
    )
    assert msgspec.json.encode(forge.show(repo_id, 1))


def test_a_merge_is_done_once(forge: LocalForge, repository: Repository, repo_id: str) -> None:
    head = repository.commit("one", {"a.txt": "1\n"})
    forge.open_change(repo_id, "one")
    say(forge, repo_id, head, StatusState.SUCCESS)
    merged = merge(forge, repo_id, 1)
    change = forge.get_change(repo_id, 1)
    assert (change.state, change.merged_sha, change.head_sha) == (ChangeState.MERGED, merged, head)
    with pytest.raises(Conflict, match="is merged already"):
        merge(forge, repo_id, 1)
    with pytest.raises(Conflict, match="is merged"):
        forge.close(repo_id, 1, actor="dan")
    assert repository.head() == merged
    assert "Headway-Change: 1" in repository.git("log", "-1", "--format=%B")


def test_a_squash_that_was_cut_off_after_the_branch_moved_is_finished_by_asking_again(
    forge: LocalForge,
    repository: Repository,
    repo_id: str,
    database: Database,
) -> None:
    head = repository.commit("one", {"a.txt": "1\n"})
    forge.open_change(repo_id, "one")
    say(forge, repo_id, head, StatusState.SUCCESS)
    merged = merge(forge, repo_id, 1)
    with database.write() as tx:  # as if the process had died before it could write this down
        tx.execute(schema.local_change.update().values(state="open", merged_sha=None, closed_at=None))
    assert merge(forge, repo_id, 1) == merged
    assert forge.get_change(repo_id, 1).merged_sha == merged


def test_what_stops_a_merge_leaves_no_trace(forge: LocalForge, repository: Repository, repo_id: str) -> None:
    head = repository.commit("one", {"README.md": "theirs\n"})
    forge.open_change(repo_id, "one")
    say(forge, repo_id, head, StatusState.SUCCESS)
    repository.write({"README.md": "my edit\n"})
    start, before = forge.events_since(repo_id, "").cursor, repository.head()
    with pytest.raises(Refused, match="edits that the merge would overwrite"):
        merge(forge, repo_id, 1)
    assert forge.get_change(repo_id, 1).state is ChangeState.OPEN
    assert forge.events_since(repo_id, start).events == ()
    assert repository.head() == before
    assert (repository.path / "README.md").read_text() == "my edit\n"


# --- the record -------------------------------------------------------------------------------------


def test_adding_a_repository_is_in_the_events_of_the_server(database: Database, repo_id: str) -> None:
    with database.read() as tx:
        rows = tx.execute(select(schema.event.c.to_state, schema.event.c.actor)).all()
    assert [tuple(row) for row in rows] == [("added", os_user())]


def test_the_users_of_this_server_have_their_roles_at_a_folder_of_git(
    database: Database, forge: LocalForge, repo_id: str
) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    with database.write() as tx:
        project, users = ProjectStore(tx).of_repo(repo_id), UserStore(tx)
        users.add("ann", Role.VIEWER, at=at, by="root")
        users.add("bob", Role.MAINTAINER, at=at, by="root")
        users.grant("ann", project, role=Role.CONTRIBUTOR, at=at, by="root")
        users.grant("bob", project, role=Role.NONE, at=at, by="root")
    assert forge.get_permission(repo_id, "ann") is Permission.WRITE
    assert forge.get_permission(repo_id, "bob") is Permission.NONE
    with database.write() as tx:
        UserStore(tx).set_disabled("ann", disabled=True, at=at, by="root")
    assert forge.get_permission(repo_id, "ann") is Permission.NONE

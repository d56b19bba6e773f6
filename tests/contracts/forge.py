"""What every forge must do. Subclass `ForgeContract` and give it a `world` fixture."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Protocol

import pytest

from headway.errors import NotFound
from headway.forges.model import (
    BranchPushed,
    Change,
    ChangeMoved,
    ChangeState,
    CommentCreated,
    Permission,
    PostedComment,
    StatusState,
    WantedComment,
    WantedDeployment,
    WantedReaction,
    WantedStatus,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headway.forges.base import Forge

MARKER = "<!-- headway:report project=flights -->"


class ForgeWorld(Protocol):
    """A forge with one repository that has a `main` branch, and the people who use it."""

    forge: Forge
    repo_id: str

    def commit(self, branch: str, files: Mapping[str, str]) -> str:
        """Push one commit; a branch that does not exist starts at main."""
        ...

    def open_change(self, branch: str) -> Change: ...

    def comment(self, number: int, author: str, body: str) -> PostedComment: ...

    def merge(self, number: int) -> Change: ...

    def grant(self, user: str, permission: Permission) -> None: ...

    def comments(self, number: int) -> Sequence[PostedComment]: ...

    def status(self, sha: str, context: str) -> WantedStatus | None: ...

    def reactions(self, number: int, comment_id: str) -> Sequence[str]: ...

    def deployments(self) -> Sequence[WantedDeployment]: ...


class ForgeContract:
    """The suite; `world` is a fixture of the subclass."""

    # --- reading -----------------------------------------------------------------------------------

    def test_an_unknown_repository_change_or_commit_is_not_found(self, world: ForgeWorld) -> None:
        forge = world.forge
        for ask in (
            lambda: forge.get_change("nowhere", 1),
            lambda: forge.get_change(world.repo_id, 99),
            lambda: forge.events_since("nowhere", ""),
            lambda: forge.get_permission("nowhere", "ada"),
            lambda: forge.read_file(world.repo_id, "0" * 40, "headway.yaml"),
            lambda: forge.fetch(world.repo_id, "0" * 40),
            lambda: forge.fetch(world.repo_id, "main"),
        ):
            with pytest.raises(NotFound):
                ask()

    def test_a_change_names_both_its_commits_and_follows_pushes_to_either(self, world: ForgeWorld) -> None:
        base = world.commit("main", {"train.py": "one\n"})
        head = world.commit("feature", {"train.py": "two\n"})
        opened = world.open_change("feature")
        assert (opened.head_sha, opened.base_sha, opened.state) == (head, base, ChangeState.OPEN)
        assert (opened.head_ref, opened.base_ref, opened.from_fork) == ("feature", "main", False)
        pushed = world.commit("feature", {"train.py": "three\n"})
        moved_base = world.commit("main", {"README.md": "read me\n"})
        now = world.forge.get_change(world.repo_id, opened.number)
        assert (now.number, now.head_sha, now.base_sha) == (opened.number, pushed, moved_base)

    def test_a_merged_change_keeps_its_head_and_names_its_merge(self, world: ForgeWorld) -> None:
        head = world.commit("feature", {"train.py": "two\n"})
        number = world.open_change("feature").number
        merged = world.merge(number)
        world.commit("feature", {"train.py": "too late\n"})
        now = world.forge.get_change(world.repo_id, number)
        assert (now.state, now.head_sha, now.merged_sha) == (ChangeState.MERGED, head, merged.merged_sha)
        assert now.merged_sha is not None
        assert world.forge.read_file(world.repo_id, now.merged_sha, "train.py") == b"two\n"

    def test_files_are_read_from_exactly_the_commit_that_is_named(self, world: ForgeWorld) -> None:
        one = world.commit("main", {"a/headway.yaml": "name: one\n"})
        two = world.commit("main", {"a/headway.yaml": "name: two\n", "ünïcode.txt": "é"})
        read = world.forge.read_file
        assert read(world.repo_id, one, "a/headway.yaml") == b"name: one\n"
        assert read(world.repo_id, two, "a/headway.yaml") == b"name: two\n"
        assert read(world.repo_id, two, "ünïcode.txt") == "é".encode()
        assert read(world.repo_id, one, "ünïcode.txt") is None
        for path in ("a", "b", "", "../a/headway.yaml", "/a/headway.yaml", "a/headway.yaml/x", "--help", ":(top)a"):
            assert read(world.repo_id, two, path) is None

    def test_fetch_gives_a_git_directory_that_has_the_commit(self, world: ForgeWorld) -> None:
        sha = world.commit("feature", {"train.py": "two\n"})
        folder = world.forge.fetch(world.repo_id, sha)
        shown = subprocess.run(["git", "--git-dir", folder, "show", f"{sha}:train.py"], capture_output=True, check=True)
        assert shown.stdout == b"two\n"
        assert world.forge.fetch(world.repo_id, sha) == folder

    def test_an_unknown_person_has_no_permission_and_a_listed_one_has_theirs(self, world: ForgeWorld) -> None:
        assert world.forge.get_permission(world.repo_id, "mallory") is Permission.NONE
        for permission in Permission:
            world.grant("dan", permission)
            assert world.forge.get_permission(world.repo_id, "dan") is permission
        assert world.forge.get_permission(world.repo_id, "") is Permission.NONE

    def test_bytes_that_are_no_delivery_mean_nothing(self, world: ForgeWorld) -> None:
        assert world.forge.parse_webhook({}, b"{}") is None

    # --- events ------------------------------------------------------------------------------------

    def test_the_empty_cursor_means_from_now_on(self, world: ForgeWorld) -> None:
        world.commit("feature", {"train.py": "two\n"})
        page = world.forge.events_since(world.repo_id, "")
        assert page.events == ()
        assert world.forge.events_since(world.repo_id, page.cursor).events == ()

    def test_each_happening_is_told_once_in_order_and_again_for_the_same_cursor(self, world: ForgeWorld) -> None:
        world.commit("feature", {"train.py": "two\n"})
        start = world.forge.events_since(world.repo_id, "").cursor
        number = world.open_change("feature").number
        asked = world.comment(number, "ada", "/train")
        first = world.forge.events_since(world.repo_id, start)
        assert first == world.forge.events_since(world.repo_id, start)
        opened, commented = first.events
        assert isinstance(opened, ChangeMoved)
        assert (opened.action, opened.change.number) == ("opened", number)
        assert isinstance(commented, CommentCreated)
        assert commented.comment == asked
        assert commented.change.number == number
        after = world.forge.events_since(world.repo_id, first.cursor)
        assert after.events == ()
        assert after.cursor == first.cursor
        assert len({event.delivery for event in first.events}) == 2

    def test_a_push_is_told_with_the_commit_before_and_ahead_of_what_is_said_later(self, world: ForgeWorld) -> None:
        before = world.commit("feature", {"train.py": "two\n"})
        number = world.open_change("feature").number
        start = world.forge.events_since(world.repo_id, "").cursor
        after = world.commit("feature", {"train.py": "three\n"})
        world.comment(number, "ada", "/train")
        events = world.forge.events_since(world.repo_id, start).events
        told = [event for event in events if not isinstance(event, BranchPushed)]
        pushed, commented = told
        assert isinstance(pushed, ChangeMoved)
        assert (pushed.action, pushed.before_sha, pushed.change.head_sha) == ("pushed", before, after)
        assert isinstance(commented, CommentCreated)
        assert commented.change.head_sha in {after, ""}  # GitHub does not say at which commit

    def test_a_push_to_the_default_branch_is_told(self, world: ForgeWorld) -> None:
        before = world.commit("main", {"train.py": "one\n"})
        start = world.forge.events_since(world.repo_id, "").cursor
        after = world.commit("main", {"train.py": "two\n"})
        (pushed,) = world.forge.events_since(world.repo_id, start).events
        assert isinstance(pushed, BranchPushed)
        assert (pushed.branch, pushed.before_sha, pushed.after_sha) == ("main", before, after)
        assert world.forge.events_since(world.repo_id, start).events == (pushed,)

    def test_a_merge_is_told_as_a_merge_and_as_a_push(self, world: ForgeWorld) -> None:
        world.commit("feature", {"train.py": "two\n"})
        number = world.open_change("feature").number
        start = world.forge.events_since(world.repo_id, "").cursor
        merged = world.merge(number)
        events = world.forge.events_since(world.repo_id, start).events
        moved = [event for event in events if isinstance(event, ChangeMoved)]
        pushed = [event for event in events if isinstance(event, BranchPushed)]
        assert [(event.action, event.change.state) for event in moved] == [("merged", ChangeState.MERGED)]
        assert [(event.branch, event.after_sha) for event in pushed] == [("main", merged.merged_sha)]

    def test_what_we_say_ourselves_is_never_an_event(self, world: ForgeWorld) -> None:
        world.commit("feature", {"train.py": "two\n"})
        number = world.open_change("feature").number
        start = world.forge.events_since(world.repo_id, "").cursor
        world.forge.deliver(self._comment(world, number, "/train"))
        assert world.forge.events_since(world.repo_id, start).events == ()

    # --- delivering --------------------------------------------------------------------------------

    def test_a_report_is_one_comment_that_is_edited_in_place(self, world: ForgeWorld) -> None:
        world.commit("feature", {"train.py": "two\n"})
        number = world.open_change("feature").number
        first = world.forge.deliver(self._comment(world, number, "running"))
        again = world.forge.deliver(self._comment(world, number, "running"))
        final = world.forge.deliver(self._comment(world, number, "passed"))
        assert first.remote_id == again.remote_id == final.remote_id
        (comment,) = world.comments(number)
        assert comment.is_ours
        assert comment.body.endswith("passed")
        assert comment.edited_at is not None

    def test_a_pasted_marker_is_not_ours(self, world: ForgeWorld) -> None:
        world.commit("feature", {"train.py": "two\n"})
        number = world.open_change("feature").number
        pasted = world.comment(number, "mallory", f"{MARKER}\nall is well")
        receipt = world.forge.deliver(self._comment(world, number, "failed"))
        assert receipt.remote_id != pasted.id
        assert [comment.body for comment in world.comments(number)] == [pasted.body, f"{MARKER}\nfailed"]

    def test_two_markers_are_two_comments_and_a_fresh_one_is_posted_once(self, world: ForgeWorld) -> None:
        world.commit("feature", {"train.py": "two\n"})
        number = world.open_change("feature").number
        other = "<!-- headway:report project=other -->"
        world.forge.deliver(self._comment(world, number, "one"))
        world.forge.deliver(self._comment(world, number, "two", marker=other))
        for body in ("rolled back", "rolled back, said again"):
            world.forge.deliver(
                WantedComment(repo_id=world.repo_id, number=number, marker="<!-- r1 -->", body=body, fresh=True)
            )
        assert [comment.body for comment in world.comments(number)] == [
            f"{MARKER}\none",
            f"{other}\ntwo",
            "rolled back",
        ]

    def test_a_status_belongs_to_one_commit_and_is_replaced_there(self, world: ForgeWorld) -> None:
        one = world.commit("feature", {"train.py": "two\n"})
        world.open_change("feature")
        two = world.commit("feature", {"train.py": "three\n"})
        for state in (StatusState.PENDING, StatusState.SUCCESS, StatusState.SUCCESS):
            wanted = WantedStatus(repo_id=world.repo_id, sha=one, context="headway/flights", state=state, title="t")
            world.forge.deliver(wanted)
        standing = world.status(one, "headway/flights")
        assert standing is not None
        assert standing.state is StatusState.SUCCESS
        assert world.status(two, "headway/flights") is None
        assert world.status(one, "headway/other") is None

    def test_a_sign_is_put_once_and_only_on_a_comment_that_exists(self, world: ForgeWorld) -> None:
        world.commit("feature", {"train.py": "two\n"})
        number = world.open_change("feature").number
        comment = world.comment(number, "ada", "/train")
        for content in ("eyes", "eyes", "rocket"):
            world.forge.deliver(
                WantedReaction(repo_id=world.repo_id, number=number, comment_id=comment.id, content=content)
            )
        assert sorted(world.reactions(number, comment.id)) == ["eyes", "rocket"]
        with pytest.raises(NotFound):
            world.forge.deliver(
                WantedReaction(repo_id=world.repo_id, number=number, comment_id="999999", content="eyes")
            )

    def test_a_successful_deployment_retires_the_one_before(self, world: ForgeWorld) -> None:
        one = world.commit("main", {"train.py": "one\n"})
        two = world.commit("main", {"train.py": "two\n"})
        self._deploy(world, one, "success")
        self._deploy(world, two, "in_progress")
        assert {each.sha: each.state for each in world.deployments()} == {one: "success", two: "in_progress"}
        self._deploy(world, two, "success")
        self._deploy(world, two, "success")
        found = {each.sha: each for each in world.deployments()}
        assert len(world.deployments()) == 2
        assert (found[one].state, found[two].state) == ("inactive", "success")
        assert found[two].payload == {"run": "r1"}

    def test_nothing_can_be_said_on_a_change_that_is_not_there(self, world: ForgeWorld) -> None:
        with pytest.raises(NotFound):
            world.forge.deliver(self._comment(world, 99, "hello"))

    def _comment(self, world: ForgeWorld, number: int, text: str, marker: str = MARKER) -> WantedComment:
        return WantedComment(repo_id=world.repo_id, number=number, marker=marker, body=f"{marker}\n{text}")

    def _deploy(self, world: ForgeWorld, sha: str, state: str) -> None:
        world.forge.deliver(
            WantedDeployment(
                repo_id=world.repo_id,
                sha=sha,
                environment="production",
                state=state,
                description="v1",
                payload={"run": "r1"},
            )
        )

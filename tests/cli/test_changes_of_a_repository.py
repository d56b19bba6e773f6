"""Changes from the terminal: proposed, judged, overridden, merged."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cli.conftest import Terminal, open_trained


@pytest.fixture(scope="module")
def headway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """A repository of this file's own: what is merged here would be the main branch of other files' tests."""
    with open_trained(tmp_path_factory.mktemp("changes")) as terminal:
        yield terminal


@pytest.fixture
def branch(headway, request) -> Iterator[str]:
    """A branch of its own with one commit, and main checked out again afterwards."""
    name = request.node.name.replace("_", "-")[5:45].strip("-")
    headway.git("checkout", "-q", "-b", name, "main")
    yield name
    headway.git("checkout", "-q", "-f", "main")


def _commit(headway, old: str, new: str) -> None:
    path = headway.folder / "headway.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    headway.git("commit", "-q", "-a", "-m", "edit")


def test_a_change_is_opened_trained_and_merged(headway, branch, waiting) -> None:
    _commit(headway, "lr: 0.1", "lr: 0.3")
    opened = headway("change", "open", "--title", "a higher rate")
    number = opened.out.partition("change ")[2].partition(":")[0]
    assert f"Next: headway change comment {number} /train" in opened.err
    assert "a higher rate" in headway("change", "list").out
    unproven = headway("change", "merge", number, code=1)
    assert "hint:" in unproven.err
    headway("change", "comment", number, "/train")
    waiting(
        lambda: [
            each
            for each in headway("jobs", "list", "--change", number, "--json").json
            if each["job"]["settled_at"] is not None
        ],
        "the verdict",
    )
    shown = waiting(lambda: _green(headway, number), "the green status")
    assert shown["change"]["title"] == "a higher rate"
    text = headway("change", "show", number).out
    assert "  /train" in text
    assert "<!--" not in text
    assert "ready to merge" in headway("report", "--change", number).out
    assert headway("gate", "--change", number, "--json").json["outcome"] == "pass"
    assert headway("change", "merge", number).out.startswith(f"merged change {number} as ")
    assert f"change {number} is merged" in headway("change", "close", number, code=1).err
    assert headway("change", "list", "--state", "merged", "--json").json[0]["number"] == int(number)
    headway.git("checkout", "-q", "-f", "main")


def _green(headway, number: str):
    shown = headway("change", "show", number, "--json").json
    return shown if any(each["state"] == "success" for each in shown["statuses"]) else None


def test_a_failed_check_is_overridden_with_a_reason(headway, branch) -> None:
    _commit(headway, "lr: 0.", "lr: -9.")
    number = headway("change", "open").out.partition("change ")[2].partition(":")[0]
    failed = headway("train", "--change", number, code=3)
    assert "not ready" in failed.out
    headway("override", number, "floor", "known and accepted")
    assert "accepted by @" in headway("gate", "--change", number, code=None).out
    assert "error:" in headway("override", number, "nonsense", "why", code=1).err
    assert headway("change", "close", number).out == f"closed change {number}\n"


def test_mistakes_about_changes(headway) -> None:
    assert "main cannot be proposed to itself" in headway("change", "open", code=2).err
    assert "no change 99" in headway("change", "show", "99", code=5).err
    assert "no branch" in headway("change", "open", "nowhere", code=5).err
    assert headway("change", "list", "--state", "odd", code=2).err.startswith("error:")
    assert "two things" in headway("train", "main", "--change", "1", code=2).err

"""Every mistake is said in three lines at most, with its own exit code, and as JSON where that was asked for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nope",), "error: there is no verb nope\nhint:  headway --help lists the verbs\n"),
        (("trian",), "error: there is no verb trian\nhint:  headway train\n"),
        (("--nope",), "error: there is no option --nope\nhint:  headway --help lists the verbs\n"),
        (("train", "--nope"), "error: No such option: --nope\nhint:  headway train --help\n"),
        (("runs", "nope"), "error: No such command 'nope'\nhint:  headway runs --help\n"),
        (("stop",), "error: Missing argument 'JOB'\nhint:  headway stop --help\n"),
        (("train", "--set", "lr"), "error: 'lr' is no key=value\nhint:  --set lr=0.1\n"),
        (
            ("train", "no-such-ref"),
            "error: 'no-such-ref' names no commit\nhint:  git branch --all, or git log --oneline\n",
        ),
        (("logs", "1", "-f", "--json"), None),
        (("jobs", "list", "--state", "odd"), None),
        (("server", "start", "--host", "0.0.0.0"), None),
    ],
)
def test_wrong_usage_is_2(headway, words: tuple[str, ...], said: str | None) -> None:
    done = headway(*words, code=2)
    if "--json" not in words:
        assert done.out == ""
        assert "hint:  " in done.err
    assert said is None or done.err == said


@pytest.mark.parametrize(
    "words",
    [
        ("jobs", "show", "999"),
        ("logs", "1", "--step", "nope"),
        ("report", "999"),
        ("gate", "999"),
        ("diff", "999"),
        ("runs", "show", "nothing"),
        ("config", "show", "nothing.yaml"),
    ],
)
def test_what_is_not_there_is_5(headway, words: tuple[str, ...]) -> None:
    done = headway(*words, "--json", code=5)
    assert done.err == ""
    error = done.json
    assert set(error) == {"code", "message", "cause", "hint", "retryable", "exit_code"}
    assert (error["code"], error["retryable"], error["exit_code"]) == ("NOT_FOUND", False, 5)


def test_an_error_in_words_goes_to_standard_error(headway) -> None:
    done = headway("logs", "999", code=5)
    assert (done.out, done.err) == ("", "error: there is no job 999\nhint:  headway jobs lists them\n")


@pytest.mark.parametrize(
    "words",
    [
        ("tune",),
        ("monitor", "status"),
        ("import", "wandb", "x"),
    ],
)
def test_what_comes_later_says_what_is_missing(headway, words: tuple[str, ...]) -> None:
    done = headway(*words, code=1)
    assert "not there yet" in done.err
    assert "hint:  " in done.err


def test_a_wrong_token_is_4(headway) -> None:
    done = headway("jobs", code=4, HEADWAY_TOKEN="hw_wrong")
    assert done.err.startswith("error: this token is not valid\n")
    assert headway("jobs", "--json", code=4, HEADWAY_TOKEN="hw_wrong").json["code"] == "LOGIN_NEEDED"


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "nonsense", "http://[bad"])
def test_an_unreachable_server_is_6(headway, url: str) -> None:
    done = headway("jobs", code=6, HEADWAY_URL=url)
    assert done.err.startswith(f"error: the server at {url} does not answer\n")
    assert "HEADWAY_URL" in done.err


def test_a_broken_headway_yaml_is_told_line_by_line(alone) -> None:
    (alone.folder / "headway.yaml").write_text("nam: x\nrun: python x.py\n")
    done = alone("config", "validate", code=2)
    assert "headway.yaml:1:1: unknown key `nam`, did you mean `name`?" in done.err
    assert alone("config", "validate", "--json", code=2).json["code"] == "CONFIG"
    assert json.loads(alone("config", "schema").out)["title"] == "headway.yaml"


def test_no_repository_no_file_no_commit_no_git(alone, headway) -> None:
    """They share one server: a repository is all that differs."""
    here = {"cwd": alone.folder, "HEADWAY_DATA": str(headway.data)}
    outside = headway("train", code=5, **here)
    assert "error: this folder is in no git repository" in outside.err
    assert "hint:  git init" in outside.err
    headway.git("init", "-q", "-b", "main", cwd=alone.folder)
    assert "there is no headway.yaml in" in headway("train", code=5, **here).err
    (alone.folder / ".gitignore").write_text("*\n")
    assert "there is no headway.yaml in" in headway("train", code=5, **here).err
    assert "has no job yet" in headway("report", code=5, **here).err
    python = str(Path(sys.executable).parent)
    assert "git is not installed" in headway("train", code=5, PATH=python, **here).err


def test_a_repository_without_a_commit(alone, headway) -> None:
    """What is staged is work in progress and planned as it lies; with nothing staged there is nothing to plan."""
    here = {"cwd": alone.folder, "HEADWAY_DATA": str(headway.data)}
    alone.git("init", "-q", "-b", "main")
    (alone.folder / "headway.yaml").write_text("name: x\nrun: python x.py\n")
    (alone.folder / "x.py").write_text("print(1)\n")
    assert headway("plan", "--json", **here).json[0]["project"]["name"] == "x"
    assert "'HEAD' names no commit" in headway("plan", "HEAD", code=2, **here).err
    assert "hint:  git add -A && git commit -m start" in headway("train", code=2, **here).err


def test_a_detached_head_is_a_place_like_any_other(headway) -> None:
    headway.git("checkout", "-q", "--detach")
    try:
        found = headway("train", "--json").json
        assert found[0]["job"]["branch"] == "detached"
        assert "no branch is checked out" in headway("change", "open", code=2).err
    finally:
        headway.git("checkout", "-q", "main")


def test_a_reader_that_has_seen_enough_is_no_error(headway) -> None:
    process = headway.start("jobs", "list", "--json")
    process.stdout.close()
    assert process.wait(timeout=60) == 0
    assert process.stderr.read() == ""


def test_nothing_is_asked_without_a_terminal(headway) -> None:
    """Standard input is closed: whoever asked for anything would hang or crash."""
    for words in (("secrets", "set", "X"), ("login", "--token-stdin"), ("runs", "delete", "123456")):
        process = subprocess.run(
            [sys.executable, "-m", "headway.cli.main", *words],
            cwd=headway.folder,
            env=headway.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert process.returncode in (2, 5), process.stderr
        assert process.stderr.startswith("error: ")


def test_a_second_train_waits_for_the_same_job_and_ends_with_its_verdict(headway) -> None:
    first = headway("train", "--set", "steps=99", "--detach")
    assert "▶ job #" in first.err
    assert "gates passed" in headway("train", "--set", "steps=99").out


def test_a_comment_that_lost_its_slash_is_told(headway) -> None:
    headway.git("checkout", "-q", "-b", "slashless")
    try:
        headway.git("commit", "-q", "--allow-empty", "-m", "nothing")
        assert "no change 999" in headway("report", "--change", "999", code=5).err
        number = headway("change", "open").out.partition("change ")[2].partition(":")[0]
        said = headway("change", "comment", number, "train", "lr=0.1").err
        assert f"headway change comment {number} /train lr=0.1" in said
        assert "note" not in headway("change", "comment", number, "trains are late").err
        headway("change", "close", number)
    finally:
        headway.git("checkout", "-q", "main")

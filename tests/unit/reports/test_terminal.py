import dataclasses

import pytest

from golden.report_views import BASE, VIEWS
from headway.reports.render import render
from headway.reports.terminal import render_terminal


@pytest.mark.parametrize("name", sorted(VIEWS))
def test_the_same_verdict_as_the_comment(name: str) -> None:
    first = render_terminal(VIEWS[name], width=300).splitlines()[0]
    assert first == render(VIEWS[name]).headline


def test_no_line_is_wider_than_asked() -> None:
    text = render_terminal(dataclasses.replace(BASE, url=""), width=60)
    assert max(map(len, text.splitlines())) <= 60


def test_details_only_when_asked() -> None:
    assert "max_depth" not in render_terminal(BASE)
    assert "max_depth" in render_terminal(BASE, full=True)
    assert "xychart" not in render_terminal(BASE, full=True)


def test_the_page_is_the_last_line() -> None:
    assert render_terminal(BASE).splitlines()[-1] == BASE.url
    assert render_terminal(dataclasses.replace(BASE, url="")).splitlines()[-1].startswith("Commands:")


def test_foreign_words_move_no_cursor_and_are_no_markup() -> None:
    hostile = "\x1b[2J\x1b]8;;http://evil\x07[bold]x[/bold]\u202e[link=http://evil]y"
    text = render_terminal(dataclasses.replace(BASE, actor=hostile, params={hostile: hostile}), full=True)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "[bold]x[/bold][link=http://evil]y" in text.replace("\n", "")


def test_colours_only_when_asked_and_only_ours() -> None:
    hostile = dataclasses.replace(VIEWS["crashed"], actor="\x1b[31mred")
    assert "\x1b[" not in render_terminal(hostile)
    assert "\x1b[1m" in render_terminal(hostile, color=True)
    assert "\x1b[31m" not in render_terminal(hostile, color=True)


def test_secrets_are_hidden() -> None:
    text = render_terminal(
        dataclasses.replace(BASE, params={"token": "hunter2hunter2"}), full=True, secrets=["hunter2hunter2"]
    )
    assert "hunter2" not in text
    assert "***" in text


def test_what_comes_next_is_typed_as_it_works_here() -> None:
    """A change's commands are comments: the terminal gives them, and names the change."""
    failed = dataclasses.replace(VIEWS["failed"], change=7)
    text = " ".join(render_terminal(failed, width=400).split())
    assert 'headway override 7 "slices:origin=JFK" REASON' in text or "headway override 7 " in text
    assert "headway change comment 7 /train · headway change comment 7 /plan" in text
    assert "comment headway" not in text
    elsewhere = " ".join(render_terminal(dataclasses.replace(failed, change=None), width=400).split())
    assert "/train · /plan" in elsewhere, "on GitHub it is a comment there"


def test_what_cannot_be_done_is_not_offered() -> None:
    passed = VIEWS["passed"]
    assert "/deploy ·" in render_terminal(passed, width=400)
    unproposed = dataclasses.replace(passed, is_deployable=False, is_change=False, next_step="")
    nowhere = render_terminal(unproposed, width=400)
    assert "/deploy" not in nowhere and "ready to merge" not in nowhere and ": passed" in nowhere


def test_every_line_of_a_log_has_its_bar_also_when_it_is_wrapped() -> None:
    crash = dataclasses.replace(VIEWS["crashed"].crash, tail=("word " * 40, "", "end"))
    text = render_terminal(dataclasses.replace(VIEWS["crashed"], crash=crash), width=60)
    log = [line for line in text.splitlines() if line.startswith("│") or "word" in line]
    assert len(log) >= 6 and all(line.startswith("│") for line in log), text

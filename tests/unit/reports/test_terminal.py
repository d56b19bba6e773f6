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

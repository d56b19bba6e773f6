"""`headway --help` is a page, quick, and tells the truth about every verb."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from headway.cli import main
from headway.cli.verbs import VERBS, help_page

GOLDEN = Path(__file__).parents[1] / "golden" / "help"


def test_the_page_is_the_one_that_was_read_and_approved() -> None:
    """`UPDATE_GOLDEN=1 pytest tests/cli/test_help.py` writes it anew."""
    path = GOLDEN / "headway.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(help_page() + "\n")
    assert help_page() + "\n" == path.read_text()


def test_the_page_fits_a_terminal() -> None:
    assert all(len(line) <= 110 for line in help_page().splitlines())


def test_the_page_needs_neither_typer_nor_anything_heavy() -> None:
    code = "import sys\nfrom headway.cli.main import run\ntry: run()\nexcept SystemExit: print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}
    assert "headway" in loaded
    assert loaded.isdisjoint({"typer", "click", "rich", "httpx", "sqlalchemy", "numpy", "msgspec", "pydantic"})


def test_a_reading_verb_needs_no_database() -> None:
    code = "import sys, headway.cli.jobs, headway.cli.runs, headway.cli.judge, headway.cli.logs\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert loaded.isdisjoint({"sqlalchemy", "numpy", "starlette", "rich", "httpx", "msgspec"})


def test_every_listed_verb_exists_and_its_group_has_the_verbs_that_the_page_names() -> None:
    tree = typer.main.get_command(main.app)
    assert sorted(tree.commands) == sorted(each.name for each in VERBS)
    for each in VERBS:
        named = {word.strip(" ;") for word in each.summary.partition("(")[0].split("|")}
        below = getattr(tree.commands[each.name], "commands", {})
        assert bool(below) == each.is_group
        if len(named) > 1:
            assert {word.split()[-1] for word in named} <= set(below), each.name
        if each.lists:
            assert "list" in below


@pytest.mark.parametrize("words", [(), ("--help",)])
def test_the_page_is_a_result(words: tuple[str, ...], headway) -> None:
    done = headway(*words)
    assert done.out == help_page() + "\n"
    assert done.err == ""


def test_a_verbs_own_help_names_its_options(headway) -> None:
    said = headway("train", "--help").out
    assert all(word in said for word in ("--set", "--change", "--dry-run", "--detach", "--json"))
    assert "list" in headway("change").out  # a group alone says what it has


def test_no_line_about_a_verb_ends_in_mid_sentence(headway) -> None:
    for group in ("runs", "server", "user"):
        assert "..." not in headway(group, "--help").out.partition("Commands:")[2]

"""What is written by hand holds too: links lead somewhere, examples parse, commands exist."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from markdown_it import MarkdownIt
from ruamel.yaml import YAML

from headway.cli.main import app
from headway.commands.grammar import parse_comment
from headway.commands.model import ParsedCommand
from headway.projects.read import read_project

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "examples" / "flights" / "README.md"])
KINDS = ("tutorial", "how-to", "reference", "explanation")


def _blocks(path: Path) -> Iterator[tuple[str, str]]:
    for token in MarkdownIt().parse(path.read_text(encoding="utf-8")):
        if token.type == "fence":
            yield token.info.strip(), token.content


def _all(kind: str) -> list[Any]:
    found = [
        pytest.param(text, id=f"{path.relative_to(ROOT)}-{at}")
        for path in PAGES
        for at, (info, text) in enumerate(_blocks(path))
        if info == kind
    ]
    assert found, kind
    return found


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _anchors(path: Path) -> set[str]:
    return {_anchor(line.lstrip("#").strip()) for line in path.read_text("utf-8").splitlines() if line.startswith("#")}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("https://", "http://", "mailto:")):
            continue
        name, _, anchor = target.partition("#")
        found = (path.parent / name).resolve() if name else path
        assert found.exists(), target
        assert not anchor or anchor in _anchors(found), target


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_pages_name_no_machine(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"/(?:root|work|home/\w+)/|pypi\.org/simple|index-url", text)


def _is_workflow(example: Any) -> bool:
    """Whether an example is GitHub's and not ours: `tests/cli/test_actions.py` runs those."""
    return "\njobs:" in example.values[0]


@pytest.mark.parametrize("text", [example for example in _all("yaml") if not _is_workflow(example)])
def test_examples_of_headway_yaml_are_valid(text: str) -> None:
    assert read_project(text.encode()).name


@pytest.mark.parametrize("text", _all("json"))
def test_examples_of_json_parse(text: str) -> None:
    json.loads(text)


@pytest.mark.parametrize("text", _all("console"))
def test_commands_exist_with_these_options(text: str) -> None:
    lines = [line.removeprefix("$ ") for line in text.splitlines() if line.startswith("$ ")]
    assert lines
    for line in lines:
        for part in re.split(r" && | \| ", line):
            _check(_words(part))


def _words(part: str) -> list[str]:
    words = shlex.split(part, comments=True)
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words.pop(0)
    return words


def _check(words: list[str]) -> None:
    if words[:1] == ["make"]:
        assert set(words[1:]) <= _targets(), words
    if words[:1] != ["headway"]:
        return
    command, rest = _command(words[1:])
    known = {option for each in command.params for option in (*each.opts, *each.secondary_opts)}
    for word in rest:
        if word.startswith("-"):
            assert word in known, words
    required = [each for each in command.params if each.param_type_name == "argument" and each.required]
    assert len([word for word in rest if not word.startswith("-")]) >= len(required), words


def _command(words: list[str]) -> tuple[Any, list[str]]:
    found: Any = typer.main.get_command(app)
    rest = list(words)
    while hasattr(found, "commands"):
        if (not rest or rest[0].startswith("-")) and found.invoke_without_command:
            break
        assert rest, words
        assert rest[0] in found.commands, words
        found = found.commands[rest.pop(0)]
    return found, rest


def _targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def test_comments_on_the_pages_are_commands() -> None:
    found = 0
    for path in PAGES:
        for span in re.findall(r"`(/[a-z]+(?: [^`\n]*)?)`", path.read_text(encoding="utf-8")):
            if span.count("/") > 1 or "reference/commands" in path.as_posix():
                continue
            found += 1
            for each in parse_comment(span):
                needs_more = span in ("/override", "/override CHECK reason", "/override CHECK REASON")
                assert isinstance(each, ParsedCommand) or needs_more, (path, span)
    assert found > 20


def test_there_are_the_four_kinds_and_every_page_is_listed() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    for kind in KINDS:
        pages = sorted((ROOT / "docs" / kind).glob("*.md"))
        assert pages, kind
        assert [page.name for page in pages if f"({kind}/{page.name})" not in index] == []


def test_every_decision_is_listed_with_its_four_parts() -> None:
    folder = ROOT / "docs" / "adr"
    index = (folder / "README.md").read_text(encoding="utf-8")
    pages = sorted(folder.glob("[0-9]*.md"))
    assert [page.name[:4] for page in pages] == [f"{number:04d}" for number in range(1, len(pages) + 1)]
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert page.name in index
        assert [line[3:] for line in text.splitlines() if line.startswith("## ")] == [
            "Context",
            "Decision",
            "Consequences",
            "Revisit",
        ]


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= 500


def test_the_licence_is_there_whole() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_vendored_files_are_noticed() -> None:
    notices = (ROOT / "THIRD_PARTY_NOTICES.md").read_text(encoding="utf-8").lower()
    manifest = ROOT / "src/headway/web/static/vendor/manifest.json"
    for each in json.loads(manifest.read_text(encoding="utf-8")):
        assert each["name"].removesuffix(".org").lower() in notices


def test_the_table_of_actions_has_what_they_give() -> None:
    page = (ROOT / "docs" / "how-to" / "github-actions.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z-]+)` \| `[^`]+` \| (.+) \|$", page, re.MULTILINE)
    told = {action: re.findall(r"`([a-z-]+)`", outputs) for action, outputs in rows}
    given = {
        path.parent.name: list(YAML(typ="safe").load(path.read_text(encoding="utf-8"))["outputs"])
        for path in (ROOT / "actions").glob("*/action.yml")
    }
    assert told == given

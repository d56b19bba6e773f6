import os
from pathlib import Path

import pytest

from golden.report_views import VIEWS
from headway.reports.render import render
from headway.reports.terminal import render_terminal

FOLDER = Path(__file__).parent / "reports"
REWRITE = os.environ.get("HEADWAY_GOLDEN") == "1"


def _compare(path: Path, text: str) -> None:
    if REWRITE:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.exists(), f"no {path.name}: HEADWAY_GOLDEN=1 writes it, and a person reads it"
    assert text == path.read_text(encoding="utf-8"), f"{path.name} differs: HEADWAY_GOLDEN=1 rewrites it; read the diff"


@pytest.mark.parametrize("name", sorted(VIEWS))
def test_the_comment_is_as_it_was_read(name: str) -> None:
    _compare(FOLDER / f"{name}.md", render(VIEWS[name]).body)


@pytest.mark.parametrize("name", ["passed", "failed", "crashed", "deployed"])
def test_the_terminal_says_the_same(name: str) -> None:
    _compare(FOLDER / f"{name}.txt", render_terminal(VIEWS[name], width=100))


def test_no_golden_file_is_left_behind() -> None:
    texts = {f"{name}.txt" for name in ("passed", "failed", "crashed", "deployed")}
    assert {path.name for path in FOLDER.iterdir()} == {f"{name}.md" for name in VIEWS} | texts

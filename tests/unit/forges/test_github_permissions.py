"""The page on permissions says what the manifest asks for, with the same reasons."""

from __future__ import annotations

from pathlib import Path

from headway.forges.github.permissions import EVENTS, NEEDED

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "github-permissions.md"


def test_the_page_lists_every_permission_and_event_with_its_reason():
    rows = PAGE.read_text().splitlines()
    for each in NEEDED:
        assert f"| `{each.name}` | {each.level} | {each.why} | {each.without} |" in rows
    for name, why in EVENTS.items():
        assert f"| `{name}` | {why} |" in rows
    tables = "\n".join(rows).split("## In a workflow")[0]
    assert tables.count("\n| `") == len(NEEDED) + len(EVENTS)

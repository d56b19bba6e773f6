"""Each of the 32 rules of the forge door is named by a test that holds us to it."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

TESTS = Path(__file__).parents[1]
COUNT = 32
_NAMED = re.compile(r"[Rr]ules? (\d+(?:(?:, | and | to )\d+)*)")


def rules_of(text: str) -> set[int]:
    """Return the rules that a docstring names: "Rule 5", "Rules 12 to 14 and 18"."""
    found: set[int] = set()
    for named in _NAMED.findall(text):
        parts = re.split(r"(, | and | to )", named)
        numbers = [int(each) for each in parts[::2]]
        found.update(numbers)
        for sign, low, high in zip(parts[1::2], numbers, numbers[1:], strict=False):
            if sign == " to ":
                found.update(range(low, high + 1))
    return found


def named_rules() -> dict[int, list[str]]:
    """Return the tests whose own docstring names a rule."""
    table: dict[int, list[str]] = defaultdict(list)
    for path in sorted(TESTS.rglob("test_*.py")):
        if "node_modules" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                for rule in rules_of(ast.get_docstring(node) or ""):
                    table[rule].append(f"{path.relative_to(TESTS)}::{node.name}")
    return table


def test_every_rule_is_named_by_a_test() -> None:
    table = named_rules()
    for rule, names in sorted(table.items()):
        print(f"{rule:2}  {names[0]}" + (f" (+{len(names) - 1})" if len(names) > 1 else ""))  # noqa: T201  # seen with -s
    assert [rule for rule in range(1, COUNT + 1) if rule not in table] == []
    assert max(table) <= COUNT


def test_the_words_of_a_docstring_are_read() -> None:
    assert rules_of("Rules 12 to 14 and 18 of the door; rule 3.") == {3, 12, 13, 14, 18}
    assert rules_of("Rules 1, 2 and 9: so") == {1, 2, 9}
    assert rules_of("no rule here") == set()

"""What runs in foreign hands: the standard library only, in the words of Python 3.9."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from headway.sandbox.command import INSIDE

FILES = sorted(INSIDE.glob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_imports_the_standard_library_and_its_siblings_only(path: Path) -> None:
    siblings = {each.stem for each in FILES}
    tree = ast.parse(path.read_text(), feature_version=(3, 9))
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        for name in names:
            assert name.split(".")[0] in sys.stdlib_module_names | siblings, f"{path.name} imports {name}"


def test_what_enters_the_sandbox_needs_no_sibling() -> None:
    siblings = {each.stem for each in FILES}
    for name in ("forward.py", "selftest.py"):
        for node in ast.walk(ast.parse((INSIDE / name).read_text())):
            if isinstance(node, ast.Import):
                assert not siblings & {alias.name for alias in node.names}
            if isinstance(node, ast.ImportFrom):
                assert node.module not in siblings

"""Nothing that a user can set, type or write is missing from the documentation, and no page is stale."""

from __future__ import annotations

import importlib.util
import re
import sys
from dataclasses import fields
from pathlib import Path
from types import ModuleType

import pytest

from headway.commands.model import Verb
from headway.errors import HeadwayError
from headway.reports.sections import NAMES
from headway.settings import KubernetesSettings, Settings

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"
VARIABLE = re.compile(r"\b(?:HEADWAY|MLFLOW)_[A-Z][A-Z_]*[A-Z]\b")


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", ROOT / "tools" / "reference.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["reference"] = module
    spec.loader.exec_module(module)
    return module


def _text(name: str) -> str:
    return (REFERENCE / name).read_text(encoding="utf-8")


def test_generated_pages_are_those_that_the_program_would_write(reference: ModuleType) -> None:
    stale = [name for name, text in reference.pages().items() if _text(name) != text]
    assert stale == [], "run: python tools/reference.py"


def test_every_key_of_headway_yaml_is_listed(reference: ModuleType) -> None:
    paths = reference.key_paths()
    assert {"name", "gates.rules[].min", "deploy.strategy.canary.steps[].weight"} <= set(paths)
    page = _text("headway-yaml.md")
    assert [path for path in paths if f"`{path}`" not in page] == []


def test_what_is_said_of_keys_names_keys_that_exist(reference: ModuleType) -> None:
    assert set(reference.LATER) <= set(reference.key_paths())
    assert set(reference._DEFAULTS) <= set(reference.key_paths())


# Key of headway.yaml -> how the program would name it where it acts on it.
ACTED = {
    "deploy.resources.replicas.max": r"\.replicas_max",
    "model.signature": r"\bmodel\.signature\b",
    "triggers.retrain": r"triggers\.retrain\b",
}


@pytest.mark.parametrize("key", ACTED)
def test_what_is_said_to_come_later_has_not_come_yet(reference: ModuleType, key: str) -> None:
    source = ROOT / "src" / "headway"
    acts = [
        path
        for path in source.rglob("*.py")
        if path.parent != source / "projects" and re.search(ACTED[key], path.read_text(encoding="utf-8"))
    ]
    assert key in reference.LATER
    assert acts == [], f"take {key} out of LATER in tools/reference.py, and write it again"


def test_every_command_of_the_terminal_is_listed_with_its_options(reference: ModuleType) -> None:
    page = _text("cli.md")
    commands = reference.cli_commands()
    assert len(commands) > 40
    for name, command in commands:
        section = page.split(f"## {name}\n", 1)[1].split("\n## ", 1)[0]
        for each in command.params:
            shown = each.opts[0] if each.param_type_name == "option" else each.name.upper()
            assert shown in section, (name, shown)


def test_every_setting_is_listed_with_its_sentence(reference: ModuleType) -> None:
    page = _text("settings.md")
    for record, prefix in ((Settings, "HEADWAY_"), (KubernetesSettings, "HEADWAY_KUBERNETES_")):
        for each in fields(record):
            if each.name != "kubernetes":
                assert f"`{prefix}{each.name.upper()}`" in page
                assert reference.setting_says(record)[each.name] in page


def test_every_verb_is_listed() -> None:
    assert [verb for verb in Verb if f"## /{verb}" not in _text("commands.md")] == []


def test_every_placeholder_is_listed() -> None:
    assert [name for name in NAMES if f"`{name}`" not in _text("report-template.md")] == []


def test_every_error_is_listed() -> None:
    def below(kind: type[HeadwayError]) -> set[type[HeadwayError]]:
        return {kind}.union(*map(below, kind.__subclasses__()))

    ours = {kind for kind in below(HeadwayError) if kind.__module__ == "headway.errors"}
    assert [kind.code for kind in ours if f"`{kind.code}`" not in _text("errors.md")] == []


def test_every_environment_variable_of_the_program_is_documented() -> None:
    source = (ROOT / "src" / "headway").rglob("*.py")
    read = {found for path in source for found in VARIABLE.findall(path.read_text(encoding="utf-8"))}
    told = " ".join(path.read_text(encoding="utf-8") for path in DOCS.rglob("*.md"))
    documented = set(VARIABLE.findall(told))
    told_to_pods = {name for name in read if name.startswith("HEADWAY_POD_")}
    assert read - documented - INTERNAL - told_to_pods == set()


# Removed from a step's environment, or read by tests only: nobody sets them.
INTERNAL = {"MLFLOW_TRACKING_AUTH", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_USERNAME"}

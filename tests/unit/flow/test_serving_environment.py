"""A model's environment stands where it serves, also where that is not where it was trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fakes.builder import FakeBuilder
from headway.commands.model import Verb
from headway.environments.find import image_environment
from headway.environments.pod_builder import PodBuilder
from headway.flow.gather import _serving_environment
from headway.flow.train import plans_for
from headway.planning.model import Plan
from headway.projects.model import DeploySpec, EngineSpec

if TYPE_CHECKING:
    from fakes.story import Story
    from headway.app import App
    from headway.environments.base import Builder


def app_of(story: Story, folder: Path) -> App:
    builders: dict[str, Builder] = {"kubernetes": PodBuilder(folder / "orders")}
    return replace(story.app, builder=FakeBuilder(folder / "here"), builders=builders)


def plan_of(story: Story, app: App, *, engine: str, target: str | None) -> Plan:
    plan = plans_for(app, story.command(Verb.PLAN, story.change()))[0].plan
    deploy = None if target is None else DeploySpec(target=target)
    return replace(plan, project=replace(plan.project, engine=EngineSpec(type=engine), deploy=deploy))


def served(app: App, plan: Plan, **changes: Any) -> str:
    last = replace(plan.tasks[-1].spec, **changes)
    path, notes = _serving_environment(app, plan, last, needed=True)
    assert notes == ()
    return path


@pytest.mark.parametrize(
    ("engine", "target", "begins"),
    [
        ("kubernetes", "local", "here"),
        ("kubernetes", "command", "here"),
        ("local", "kubernetes", "/headway/environments/"),
    ],
)
def test_it_is_made_where_the_model_serves(story: Story, tmp_path: Path, engine: str, target: str, begins: str) -> None:
    app = app_of(story, tmp_path)
    plan = plan_of(story, app, engine=engine, target=target)
    path = served(app, plan)
    assert path.startswith(begins if begins.startswith("/") else str(tmp_path / begins))
    assert Path(path).name == plan.tasks[-1].spec.env.digest
    assert served(app, plan) == path


@pytest.mark.parametrize(("engine", "target"), [("local", "local"), ("kubernetes", "kubernetes"), ("kubernetes", None)])
def test_where_it_was_trained_nothing_is_made_again(
    story: Story, tmp_path: Path, engine: str, target: str | None
) -> None:
    app = app_of(story, tmp_path)
    assert served(app, plan_of(story, app, engine=engine, target=target)) == ""  # it was removed since
    assert not (tmp_path / "here").exists()
    assert not (tmp_path / "orders").exists()


def test_without_a_model_and_for_a_container_nothing_is_made(story: Story, tmp_path: Path) -> None:
    app = app_of(story, tmp_path)
    plan = plan_of(story, app, engine="kubernetes", target="local")
    assert _serving_environment(app, plan, plan.tasks[-1].spec, needed=False) == ("", ())
    assert served(app, plan, env=image_environment("ml/torch:2"), image="ml/torch:2") == ""
    assert not (tmp_path / "here").exists()


def test_what_cannot_be_made_is_a_note_and_no_failure(story: Story, tmp_path: Path) -> None:
    app = app_of(story, tmp_path)
    plan = plan_of(story, app, engine="kubernetes", target="local")
    last = plan.tasks[-1].spec
    path, notes = _serving_environment(
        app, plan, replace(last, env=replace(last.env, files=("gone.txt",))), needed=True
    )
    assert path == ""
    assert "the environment that serves the model was not made" in notes[0]

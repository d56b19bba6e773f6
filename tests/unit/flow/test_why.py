"""What `/why` tells under a change: nothing of another project, whoever may read this repository."""

from __future__ import annotations

import pytest

from fakes.story import Story
from headway.auth.projects import ProjectStore
from headway.commands.model import Verb
from headway.errors import NotFound
from headway.flow import why
from headway.registry.store import RegistryStore


def _registered(story: Story, model: str, project: str) -> None:
    with story.app.database.write() as tx:
        store = RegistryStore(tx, story.app.clock)
        store.create_model(model, project=project)
        store.create_version(model, source=f"0/{model}", source_uri="", created_by="ada")


def test_a_comment_walks_back_within_its_own_project(story: Story) -> None:
    with story.app.database.write() as tx:
        own = ProjectStore(tx).of_repo(story.repo.id)
        ProjectStore(tx).add("secret", at=story.app.clock.now(), by="ada")
    _registered(story, "flights", own)
    _registered(story, "merger", "secret")
    change = story.change()
    assert "model version" in why.answer(story.app, story.command(Verb.WHY, change, arguments=("flights@1",)))
    with pytest.raises(NotFound, match="nothing is known of 'merger@1'"):
        why.answer(story.app, story.command(Verb.WHY, change, arguments=("merger@1",)))
    assert why.trace(story.app, "merger@1"), "it is there"

"""The page of a change leads with the job that decides about its merge."""

from __future__ import annotations

from pathlib import Path

from starlette.applications import Starlette

from fakes.site import Browser
from fakes.story import CONFIG, Story
from headway.auth.model import Role
from headway.web.changes import changes_of
from headway.web.pages import web_routes


def test_a_newer_job_that_only_tried_other_values_does_not_lead(tmp_path: Path) -> None:
    story = Story(tmp_path, config=CONFIG + "params: {rate: 0.1}\n")
    change = story.change()
    own = story.ended(change, is_good=False)
    tried = story.ended(change, params={"rate": "0.5"})
    (row,) = changes_of(story.app, story.repo, state="open").rows
    assert row.job is not None
    assert (row.job.number, row.outcome) == (own.number, "fail")
    client = Browser(Starlette(routes=web_routes(story.app)))
    login = {"authorization": f"Bearer {story.token(Role.VIEWER)}"}
    page = client.request("GET", f"/changes/{story.repo.id}/{change.number}", headers=login).text
    verdict, _, table = page.partition("Jobs of this change")
    assert f'href="/jobs/{own.number}"' in verdict
    assert f'href="/jobs/{tried.number}"' not in verdict
    assert f'href="/jobs/{tried.number}"' in table
    story.close()

"""Job pages: crash first, live while it runs, two side by side."""

from __future__ import annotations

from fakes.site import Site


def test_a_crash_stands_before_the_pipeline_with_its_hint(full: Site) -> None:
    text = full.client().get("/jobs/3").text
    assert text.index("ended badly") < text.index('id="pipeline"')
    assert "Attempt 1 of 2" in text
    assert "<strong>Try:</strong>" in text
    assert "Run again" in text


def test_a_running_job_is_followed_and_a_finished_one_is_not(full: Site) -> None:
    client = full.client()
    assert 'hx-trigger="every 2s"' in client.get("/jobs/4").text
    assert 'hx-trigger="every' not in client.get("/jobs/1").text
    assert 'value="/stop #4"' in client.get("/jobs/4").text


def test_a_viewer_is_offered_nothing_that_is_refused(full: Site) -> None:
    from headway.auth.model import Role

    text = full.client(Role.VIEWER).get("/jobs/2").text
    assert 'action="/commands"' not in text
    assert 'action="/commands"' in full.client(Role.MAINTAINER).get("/jobs/2").text


def test_inputs_stand_beside_outputs(full: Site) -> None:
    text = full.client().get("/jobs/1/compare/2").text
    assert "<code>train.py</code>" in text
    assert "+0.010" in text
    assert "/jobs/2/curves.json?with=1" in text


def test_a_job_without_a_result_cannot_be_compared_and_that_is_said(full: Site) -> None:
    answer = full.client().get("/jobs/1/compare/4")
    assert answer.status_code == 200
    assert "has no result" in answer.text


def test_the_baseline_is_marked_and_pages_go_by_number(full: Site) -> None:
    client = full.client()
    assert "baseline</span>" in client.get("/jobs").text
    older = client.get("/jobs?before=3").text
    assert 'href="/jobs/2"' in older
    assert 'href="/jobs/3"' not in older
    assert 'href="/jobs/3"' in client.get("/jobs?state=failed").text
    assert "No job is like that" in client.get("/jobs?project=nothing").text


def test_the_log_says_that_it_is_empty_and_ends_when_the_job_has(full: Site) -> None:
    client = full.client()
    assert "The log is empty" in client.get("/jobs/1/log").text
    live = client.get("/jobs/4/log").text
    assert "Waiting for the first line" in live
    assert "hx-get=" in live
    whole = client.get("/jobs/1/log.txt")
    assert whole.headers["content-disposition"] == 'attachment; filename="job-1.log"'
    assert whole.headers["content-type"].startswith("text/plain")

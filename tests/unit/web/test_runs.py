"""The runs table: the filter language with its errors in place, order, columns, keyset pages, all in the address."""

from __future__ import annotations

import re

from fakes.site import Site
from headway.tracking.model import Metric
from headway.tracking.store import RunStore
from headway.web.runs import PAGE


def many(site: Site, count: int) -> None:
    with site.app.database.write() as tx:
        store = RunStore(tx, actor="ada")
        experiment = store.experiments.get_or_create("many").id
        for index in range(count):
            run = store.create_run(experiment, name=f"r{index:03}", params={"lr": str(index % 3)}, start_time=index + 1)
            store.log_metrics(run, [Metric("auc", index / 1000, 1, 0)])


def names(text: str) -> list[str]:
    return re.findall(r'<a href="/runs/[0-9a-f]{32}">(r\d{3})</a>', text)


def test_pages_follow_each_other_without_gap_or_repetition(bare: Site) -> None:
    many(bare, 2 * PAGE + 7)
    client, address, seen = bare.client(), "/runs?order=metrics.auc+DESC&columns=metrics.auc", []
    while address:
        text = client.get(address).text
        seen += names(text)
        following = re.search(r'href="(/runs\?[^"]*after=[^"]*)">More runs', text)
        address = following[1].replace("&amp;", "&") if following else ""
    assert seen == [f"r{index:03}" for index in reversed(range(2 * PAGE + 7))]


def test_a_filter_narrows_and_stays_in_the_form(bare: Site) -> None:
    many(bare, 9)
    text = bare.client().get("/runs?filter=params.lr+%3D+'1'+and+metrics.auc+%3E+0.002").text
    assert sorted(names(text)) == ["r004", "r007"]
    assert 'value="params.lr = &#39;1&#39; and metrics.auc &gt; 0.002"' in text


def test_a_filter_that_cannot_be_read_is_explained_beside_it(bare: Site) -> None:
    many(bare, 1)
    for where in ("metrics.auc >", "params.lr = 1 or 2", "'", "metrics.`a' OR 1=1--` > 0)", "x" * 5000):
        answer = bare.client().get("/runs", params={"filter": where})
        assert answer.status_code == 200, where
        assert 'id="filter-error"' in answer.text, where
        assert 'aria-invalid="true"' in answer.text
    answer = bare.client().get("/runs?order=nonsense+SIDEWAYS&after=zzz")
    assert 'id="filter-error"' in answer.text


def test_no_match_and_no_run_at_all_are_said_differently(bare: Site) -> None:
    assert "Nothing has been tracked yet" in bare.client().get("/runs").text
    many(bare, 1)
    assert "No run matches this filter" in bare.client().get("/runs?filter=metrics.auc+%3E+5").text


def test_columns_are_chosen_in_the_address(bare: Site) -> None:
    many(bare, 2)
    text = bare.client().get("/runs?columns=params.lr,metrics.nothing,odd").text
    heads = re.findall(r'<th scope="col"[^>]*><a [^>]*>([^<]*)</a>', text)
    assert heads == ["lr", "nothing", "odd"]


def test_two_runs_are_compared_by_what_differs(full: Site) -> None:
    client = full.client()
    chosen = client.get(f"/runs/compare?a={full.runs[0]}&b={full.runs[1]}")
    assert chosen.headers["location"] == f"/runs/{full.runs[0]}/compare/{full.runs[1]}"
    text = client.get(chosen.headers["location"]).text
    assert "No parameter differs" in text
    assert "odd 0" in text
    assert "odd 1" in text


def test_a_run_is_found_by_its_first_characters(full: Site) -> None:
    assert full.client().get(f"/runs/{full.runs[0][:10]}").status_code == 200

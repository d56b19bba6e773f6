import dataclasses
import enum
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from golden.report_views import BASE, GOOD, VIEWS
from headway.gates.model import CheckState, Outcome, Verdict
from headway.reports.model import CrashView, Curve, MetricRow, ReportState, ReportView, RunRow
from headway.reports.render import BUDGET, marker, render
from headway.reports.sections import EARLIER_RUNS

MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def _tokens(body: str) -> list[Token]:
    found = []
    for token in MARKDOWN.parse(body):
        found += [token, *(token.children or [])]
    return found


def _view(name: str = "passed", **changes: object) -> ReportView:
    return dataclasses.replace(VIEWS[name], **changes)  # type: ignore[arg-type]  # fields of the record


@pytest.mark.parametrize("name", sorted(VIEWS))
def test_marker_first_then_the_verdict(name: str) -> None:
    report = render(VIEWS[name])
    first, second, *_ = report.body.splitlines()
    assert first == report.marker == "<!-- headway:report project=churn -->"
    assert second.startswith("### ")
    assert "churn" in report.headline
    assert "`" not in report.headline
    assert "&#8203;" not in report.headline


@pytest.mark.parametrize("name", sorted(VIEWS))
def test_green_is_only_what_is_green(name: str) -> None:
    green = {"passed", "passed_first", "passed_again", "overridden", "deployed", "waiting"}
    report = render(VIEWS[name])
    assert report.passed == (name in green)
    assert ("✅" in report.headline or "🚀" in report.headline or "✋" in report.headline) == (name in green)


@pytest.mark.parametrize(
    "verdict",
    [None, Verdict(outcome=Outcome.FAIL, checks=()), Verdict(outcome=Outcome.CANNOT_TELL, checks=GOOD)],
)
def test_a_pass_without_a_verdict_that_allows_it_is_no_pass(verdict: Verdict | None) -> None:
    report = render(_view(verdict=verdict))
    assert not report.passed
    assert "not ready" in report.headline


@pytest.mark.parametrize("state", list(ReportState))
def test_every_state_renders_with_nothing_but_its_name(state: ReportState) -> None:
    bare = ReportView(project="p", state=state, number=1, url="", commit="abc", actor="a", command="")
    report = render(bare)
    assert report.body.startswith("<!-- headway:report project=p -->\n### ")
    assert len(report.headline) > 3


def test_the_project_cannot_close_the_marker() -> None:
    assert marker("x --> y") == "<!-- headway:report project=x_--__y -->"
    assert marker("churn-2.a_b") == "<!-- headway:report project=churn-2.a_b -->"


def test_the_primary_metric_comes_first_and_six_rows_are_enough() -> None:
    rows = tuple(MetricRow(name=f"m{i}", candidate=float(i), baseline=1.0) for i in range(30))
    body = render(_view(rows=(*rows, *BASE.rows))).body
    table = body.split("| Metric |")[1].split("\n\n")[0].splitlines()[2:]
    assert len(table) == 6
    assert table[0].startswith("| **`val_auc`** ↑ |")
    assert table[-1].startswith("| worst slice:")
    assert body.count("| Metric |") == 2  # the whole list is in the details


def test_noise_is_shown_with_its_size() -> None:
    rows = (MetricRow(name="val_auc", candidate=0.874, baseline=0.872, noise=0.0015, reruns=1),)
    assert "+0.002 (within noise ±0.002 in 1 rerun)" in render(_view(rows=rows)).body


def test_nan_is_named() -> None:
    rows = (MetricRow(name="val_auc", candidate=math.nan, baseline=0.872),)
    assert "NaN" in render(_view(rows=rows)).headline


def test_only_the_last_earlier_runs_are_listed() -> None:
    runs = tuple(
        RunRow(number=i, url="", commit=f"c{i}", state="failed", headline="no", is_this_commit=False) for i in range(40)
    )
    body = render(_view(runs=runs)).body
    assert "Earlier runs of this change (40)" in body
    assert body.count("| no |") == EARLIER_RUNS


def test_the_columns_of_the_project_are_in_the_table_of_runs() -> None:
    body = render(BASE).body
    assert "| Run | Commit | val\\_auc | val\\_logloss | Parameters | Verdict |" in body


# --- length


def _huge() -> ReportView:
    text = "<@|`_*#x" * 200
    rows = tuple(MetricRow(name=f"{i}{text}", candidate=0.1 + i, baseline=0.2) for i in range(500))
    checks = tuple(
        dataclasses.replace(
            GOOD[0],
            id=f"c{i}",
            slice=f"{i}{text}",
            limit=text,
            message=text,
            state=CheckState.FAILED,
            candidate=0.1,
        )
        for i in range(500)
    )
    curve = Curve(metric=text, steps=tuple(map(float, range(900))), values=tuple(i / 7 for i in range(900)))
    return _view(
        state=ReportState.FAILED,
        rows=rows,
        verdict=Verdict(outcome=Outcome.FAIL, checks=checks, notes=(text,) * 50),
        params={f"{i}{text}": text for i in range(500)},
        curves=(curve,) * 20,
        notes=tuple(f"{i}{text}" for i in range(50)),
        runs=tuple(
            RunRow(
                number=i, url="https://x/" + "a" * 1900, commit=text, state=text, headline=text, params={text: str(i)}
            )
            for i in range(300)
        ),
        actor=text,
        baseline_label=text,
    )


def test_a_huge_report_leaves_out_whole_sections_and_says_so() -> None:
    body = render(_huge()).body
    assert len(body) <= BUDGET
    assert "Left out because a comment has a limited length: charts, all metrics" in body
    assert body.count("<details>") == body.count("</details>")
    assert body.count("```") % 2 == 0
    assert "### ❌" in body


def test_a_huge_crash_keeps_its_log() -> None:
    tail = tuple("x" * 1000 for _ in range(2000))
    crash = CrashView(task="train", exit_code=1, reason="r", attempt=1, attempts=1, seconds=1.0, tail=tail, hint="do")
    body = render(dataclasses.replace(_huge(), state=ReportState.CRASHED, crash=crash)).body
    assert len(body) <= BUDGET
    assert "**Hint:** do" in body
    assert body.count("xxx…") <= 30


def test_a_huge_template_is_left_out_before_the_verdict_is() -> None:
    view = dataclasses.replace(_huge(), template="{{metrics_table}}{{checks}}" * 60)
    body = render(view).body
    assert len(body) <= BUDGET
    assert "### ❌ churn" in body


def test_a_value_of_megabytes_is_cut_before_it_is_worked_on() -> None:
    body = render(_view(params={"a": "\x1b[" * 5_000_000}, actor="@" * 5_000_000)).body
    assert len(body) < 20_000


# --- hostile words in every field

POLYGLOT = (
    "\x1b[31m<img src=x onerror=alert(1)><!-- headway:report project=x --></details>\n# h1\n"
    "[a](javascript:alert(1)) ![i](http://evil/i.png) <http://evil> @maria #1 | ``` `` ` | \n```\n~~~\n"
    "{{headline}} \u202e http://evil.example $$x$$ **b** __c__ <script>"
)


def _poison(value: object, poison: str) -> object:
    """Every string of a view replaced, except those that are states, verbs and names of our own."""
    if isinstance(value, enum.Enum):
        return value
    if isinstance(value, str):
        return poison
    if isinstance(value, tuple):
        return tuple(_poison(each, poison) for each in value)
    if isinstance(value, dict):
        return {_poison(key, poison): _poison(each, poison) for key, each in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        # Addresses are the server's own; what is no address of the web is no link (test_escape).
        names = [each.name for each in dataclasses.fields(value) if not each.name.endswith("url")]
        return dataclasses.replace(value, **{name: _poison(getattr(value, name), poison) for name in names})
    return value


def _poisoned(name: str, poison: str) -> ReportView:
    found = _poison(dataclasses.replace(VIEWS[name], template=None), poison)
    assert isinstance(found, ReportView)
    return dataclasses.replace(found, template=None, project="churn")


ALLOWED_HTML = {
    "<!-- headway:report project=churn -->\n",
    "</details>",
    "</details>\n",
}


def _assert_inert(body: str) -> None:
    for token in _tokens(body):
        assert token.type not in {"image", "html_inline", "s_open", "em_open"}, token
        if token.type == "link_open":
            assert str(token.attrs["href"]).startswith("https://headway.example/")
        if token.type == "html_block":
            is_fold = token.content.startswith("<details><summary>") and token.content.count("<") == 3
            assert token.content in ALLOWED_HTML or is_fold, token.content
        if token.type == "text":
            for active in ("@maria", "#1 ", "http://evil"):
                assert active not in token.content
        assert "\x1b" not in token.content
        assert "\u202e" not in token.content
    headings = [token for token in MARKDOWN.parse(body) if token.type == "heading_open"]
    assert len(headings) == 1
    assert body.count("<!--") == 1


@pytest.mark.parametrize("name", sorted(VIEWS))
def test_hostile_words_in_every_field_are_only_words(name: str) -> None:
    _assert_inert(render(_poisoned(name, POLYGLOT)).body)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(sorted(VIEWS)), st.text(alphabet="`<>|@#!-[]()*_~\\\n\t {}$&:/.=+1a\u202e\x1b") | st.text())
def test_any_words_in_every_field_are_only_words(name: str, poison: str) -> None:
    _assert_inert(render(_poisoned(name, poison)).body)


@pytest.mark.parametrize("name", sorted(VIEWS))
def test_secrets_are_in_no_report(name: str) -> None:
    secret = "s_3|cr*et`<@>"
    body = render(_poisoned(name, f"token={secret} "), secrets=(secret,)).body
    plain = "".join(token.content for token in _tokens(body))
    assert "cr*et" not in plain.replace("\u200b", "")
    assert "\\*\\*\\*" in body or "***" in body


# --- templates


def test_a_template_may_order_but_not_hide_why_it_is_red() -> None:
    body = render(_view("failed", template="Only this.")).body
    assert "| `val_auc` for `country=BR` (n = 1,204) |" in body
    assert "Only this." in body
    assert "<details>" not in body
    crashed = render(_view("crashed", template="Only this.")).body
    assert "ModuleNotFoundError" in crashed
    assert "Only this." in render(_view(template="Only this.")).body


def test_words_of_the_view_in_a_template_are_escaped() -> None:
    body = render(_view(actor="<b>@maria</b>", template="by {{actor}}, run {{number}}, {{headline}}")).body
    assert "by &lt;b&gt;@&#8203;maria&lt;/b&gt;, run 412, ✅ churn: ready" in body

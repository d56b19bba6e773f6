import pytest

from headway.reports.template import MAX_LENGTH, fill

VALUES = {"headline": "ready", "metrics_table": "| a |", "curves": "~"}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{headline}}!", "ready!"),
        ("{{ headline }} and {{curves}}", "ready and ~"),
        ("no place", "no place"),
        ("{headline} {{}} {{ a b }}", "{headline} {{}} {{ a b }}"),
        ("a\r\n\r\n\r\n\r\nb", "a\n\nb"),
        ("keep <b>markup</b> and [links](https://x)", "keep <b>markup</b> and [links](https://x)"),
        ("a<!-- headway:report project=other -->b", "ab"),
        ("a<!-- never closed {{headline}}", "a"),
    ],
)
def test_text_with_places(template: str, text: str) -> None:
    assert fill(template, VALUES)[0] == text


def test_a_value_is_not_read_again() -> None:
    text, notes, used = fill("{{headline}}", {"headline": "{{curves}} {{secret}}", "curves": "no"})
    assert text == "{{curves}} {{secret}}"
    assert notes == ()
    assert used == {"headline"}


def test_an_unknown_place_names_the_nearest_once() -> None:
    text, notes, used = fill("{{metric_table}} x {{metric_table}}", VALUES)
    assert text == "x"
    assert notes == ("the report template names metric_table, which does not exist; the nearest is metrics_table",)
    assert used == {"metric_table"}


def test_a_template_has_a_limit() -> None:
    text, notes, _ = fill("x" * (MAX_LENGTH + 5), VALUES)
    assert len(text) == MAX_LENGTH
    assert "longer than 20,000 characters" in notes[0]


@pytest.mark.parametrize(
    "code", ["{% for x in y %}", "{{ headline.__class__ }}", "${headline}", "{{7*7}}", "{{headline|safe}}"]
)
def test_nothing_is_executed(code: str) -> None:
    text, _, _ = fill(code, VALUES)
    assert "class 'str'" not in text
    assert "49" not in text
    assert "ready" not in text

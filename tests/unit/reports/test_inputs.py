import pytest

from headway.reports.document import Spans
from headway.reports.inputs import changed_line
from headway.reports.model import WhatChanged


def _text(spans: Spans) -> str:
    return "".join(span.text for span in spans)


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        (WhatChanged(), "code same · parameters same · data same · environment same"),
        (
            WhatChanged(files=("a", "b", "c"), params={"lr": ("0.1", "0.2")}),
            "3 files · lr 0.1 → 0.2 · data same · environment same",
        ),
        (
            WhatChanged(data={"train": ("sha256:" + "a" * 64, "sha256:" + "b" * 64)}),
            "code same · parameters same · data: train sha256:aaaaa… → sha256:bbbbb… · environment same",
        ),
        (
            WhatChanged(packages={"new": ("", "1.0"), "old": ("2.0", "")}),
            "code same · parameters same · data same · environment: new 1.0 added, old 2.0 removed",
        ),
        (
            WhatChanged(params={f"p{i}": ("1", "2") for i in range(6)}),
            "code same · p0 1 → 2, p1 1 → 2, p2 1 → 2, p3 1 → 2, 2 more · data same · environment same",
        ),
    ],
)
def test_what_changed_in_one_line(changed: WhatChanged, text: str) -> None:
    assert _text(changed_line(changed)) == f"What changed: {text}"

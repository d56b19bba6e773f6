"""The drawn pipeline: order, places, words; whatever is stored, it is drawn."""

from __future__ import annotations

from headway.reports.model import TaskView
from headway.web.graph import HEIGHT, WIDTH, draw


def task(name: str, *needs: str, state: str = "succeeded") -> TaskView:
    return TaskView(name=name, state=state, needs=needs, seconds=3.0)


def test_each_task_stands_right_of_what_it_needs() -> None:
    drawn = draw([task("report", "train", "prepare"), task("prepare"), task("train", "prepare"), task("other")])
    assert drawn is not None
    at = {node.name: node for node in drawn.nodes}
    assert at["prepare"].x == at["other"].x < at["train"].x < at["report"].x
    assert len(drawn.edges) == 3
    assert "report after train, prepare: succeeded" in drawn.words


def test_no_two_nodes_overlap_and_all_lie_inside() -> None:
    tasks = [task(f"t{i}", *(f"t{j}" for j in range(i) if (i * j) % 3 == 1)) for i in range(30)]
    drawn = draw(tasks)
    assert drawn is not None
    for index, one in enumerate(drawn.nodes):
        assert 0 <= one.x <= drawn.width - WIDTH
        assert 0 <= one.y <= drawn.height - HEIGHT
        for other in drawn.nodes[index + 1 :]:
            assert abs(one.x - other.x) >= WIDTH or abs(one.y - other.y) >= HEIGHT


def test_lines_cross_little() -> None:
    drawn = draw([task("a"), task("b"), task("after b", "b"), task("after a", "a")])
    assert drawn is not None
    at = {node.name: node.y for node in drawn.nodes}
    assert (at["a"] < at["b"]) == (at["after a"] < at["after b"])


def test_a_circle_an_unknown_need_and_nothing_are_drawn_too() -> None:
    assert draw([]) is None
    drawn = draw([task("a", "b"), task("b", "a"), task("c", "nowhere")])
    assert drawn is not None
    assert {node.name for node in drawn.nodes} == {"a", "b", "c"}


def test_a_long_name_keeps_both_ends() -> None:
    drawn = draw([task("prepare_features_of_all_flights_2013", state="running")])
    assert drawn is not None
    assert drawn.nodes[0].label.startswith("prepare_feat")
    assert drawn.nodes[0].label.endswith("ts_2013")
    assert drawn.nodes[0].sign.tone == "running"

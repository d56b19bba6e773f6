from __future__ import annotations

import pytest

from headway.errors import UsageError
from headway.pipelines.command_line import names_in, split_command
from headway.projects.model import StepSpec


def split(run: str) -> tuple[str, ...]:
    params = {"lr": 0.1, "fast": True, "name": "a b; rm -rf /"}
    return split_command(StepSpec(name="train", run=run), params=params, data={"train": "data/train.csv"})


def test_a_value_with_blanks_and_signs_stays_one_argument() -> None:
    assert split(
        "python train.py --lr=${params.lr} --name ${params.name} '${data.train}' ${ params.fast }".replace(
            "${ ", "${"
        ).replace(" }", "}")
    ) == (
        "python",
        "train.py",
        "--lr=0.1",
        "--name",
        "a b; rm -rf /",
        "data/train.csv",
        "true",
    )


@pytest.mark.parametrize("run", ["a && b", "a | b", "a > b", "a ; b"])
def test_what_only_a_shell_understands_is_refused(run: str) -> None:
    with pytest.raises(UsageError, match="given to none"):
        split(run)


def test_unbalanced_quotes_and_emptiness_are_said() -> None:
    with pytest.raises(UsageError, match="cannot be split"):
        split("python 'train.py")
    with pytest.raises(UsageError, match="empty"):
        split("  ")


def test_an_unknown_hole_gets_the_nearest_name() -> None:
    with pytest.raises(UsageError, match=r"did you mean \$\{params.lr\}"):
        split("python train.py ${params.rl}")
    with pytest.raises(UsageError, match="names nothing"):
        split("python ${HOME}/train.py")


def test_names_are_found_by_kind() -> None:
    assert names_in("x ${params.lr} ${data.train} ${params.depth}", "params") == {"lr", "depth"}
    assert names_in("x ${params.lr} ${data.train}", "data") == {"train"}

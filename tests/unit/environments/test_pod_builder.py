"""For the cluster everything is checked and nothing installed; what a pod needs is kept by digest."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from headway.environments.failure import BuildFailed
from headway.environments.files import FolderFiles
from headway.environments.find import find_environment, image_environment
from headway.environments.model import BuiltEnv, EnvKind, EnvSpec, Tier
from headway.environments.pod_builder import PodBuilder
from headway.projects.model import EnvSection


def project(folder: Path, **files: str) -> tuple[EnvSpec, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    return find_environment(FolderFiles(folder), EnvSection(), default_python="3.11"), folder


def build(builder: PodBuilder, given: tuple[EnvSpec, Path], tier: Tier = Tier.CHANGE) -> tuple[BuiltEnv, str]:
    log = io.StringIO()
    return builder.build(*given, tier, log), log.getvalue()


def test_what_a_pod_needs_is_kept_and_found_again(tmp_path: Path) -> None:
    builder = PodBuilder(tmp_path / "orders")
    given = project(tmp_path / "p", requirements__txt="--index-url https://evil.example\nnumpy==2.1.0\n")
    assert builder.find(given[0].digest, Tier.CHANGE) is None
    built, log = build(builder, given)
    assert built == BuiltEnv(
        digest=given[0].digest,
        path=f"/headway/environments/change/envs/{given[0].digest}",
        seconds=0.0,
        packages=1,
        reused=False,
    )
    assert "--index-url is ignored" in log
    found = PodBuilder(tmp_path / "orders").find(given[0].digest, Tier.CHANGE)
    assert found is not None
    assert found.reused
    folder = builder.folder(given[0].digest)
    assert sorted(str(each.relative_to(folder)) for each in folder.rglob("*") if each.is_file()) == [
        "files/requirements.txt",
        "order.json",
    ]
    order = builder.order(given[0].digest)
    assert order is not None
    assert (order.spec, order.tier) == (given[0], Tier.CHANGE)
    assert [each.name for each in (tmp_path / "orders").iterdir()] == [given[0].digest]


def test_a_lock_is_read_and_proved(tmp_path: Path) -> None:
    pyproject = '[project]\nname = "p"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = []\n'
    package = '[[package]]\nname = "p"\nversion = "1"\nsource = { virtual = "." }\n'
    lock = f'version = 1\nrevision = 1\nrequires-python = ">=3.11"\n\n{package}'
    given = project(tmp_path / "p", pyproject__toml=pyproject, uv__lock=lock)
    builder = PodBuilder(tmp_path / "orders")
    assert build(builder, given)[0].path.endswith(given[0].digest)
    (tmp_path / "p" / "uv.lock").write_text(lock + "\n[options]\nexclude-newer = '2026-01-01T00:00:00Z'\n")
    with pytest.raises(BuildFailed, match="are not those that were planned with"):
        build(PodBuilder(tmp_path / "others"), given)


def test_what_less_trusted_code_named_is_checked_again_for_more_trusted(tmp_path: Path) -> None:
    builder = PodBuilder(tmp_path / "orders")
    given = project(tmp_path / "p", requirements__txt="numpy==2.1.0\n")
    build(builder, given, Tier.FORK)
    assert builder.find(given[0].digest, Tier.MAIN) is None
    built, _ = build(builder, given, Tier.MAIN)
    assert built.path == f"/headway/environments/main/envs/{given[0].digest}"
    found = builder.find(given[0].digest, Tier.FORK)
    assert found is not None
    assert found.path == f"/headway/environments/fork/envs/{given[0].digest}"  # never main's own folder


@pytest.mark.parametrize(
    ("line", "tier", "says"),
    [
        ("leaf @ https://host/leaf-1.0-py3-none-any.whl", Tier.FORK, "from an address of its own"),
        ("leaf @ git+https://host/leaf@abc", Tier.FORK, "from an address of its own"),
        ("leaf @ git+https://host/leaf@abc", Tier.MAIN, "comes from git and would have to be built"),
    ],
)
def test_what_could_only_fail_in_the_pod_fails_here(tmp_path: Path, line: str, tier: Tier, says: str) -> None:
    builder = PodBuilder(tmp_path / "orders")
    given = project(tmp_path / "p", requirements__txt=f"{line}\n")
    with pytest.raises(BuildFailed, match=says) as caught:
        build(builder, given, tier)
    assert caught.value.hint
    assert builder.find(given[0].digest, tier) is None
    assert list((tmp_path / "orders").iterdir()) == []


def test_an_image_is_an_environment_without_a_folder(tmp_path: Path) -> None:
    spec = image_environment("registry.example/team/torch:2.4")
    assert spec.kind is EnvKind.IMAGE
    assert spec.digest != image_environment("registry.example/team/torch:2.5").digest
    built, _ = build(PodBuilder(tmp_path / "orders"), (spec, tmp_path))
    assert built.path == ""


def test_many_at_once_keep_one_order(tmp_path: Path) -> None:
    builder = PodBuilder(tmp_path / "orders")
    given = project(tmp_path / "p", requirements__txt="numpy==2.1.0\n")
    with ThreadPoolExecutor(8) as pool:
        built = list(pool.map(lambda _: build(builder, given)[0].path, range(8)))
    assert len(set(built)) == 1
    assert [each.name for each in (tmp_path / "orders").iterdir()] == [given[0].digest]


def test_pruning_forgets_what_nobody_keeps(tmp_path: Path) -> None:
    builder = PodBuilder(tmp_path / "orders")
    one = project(tmp_path / "one", requirements__txt="numpy==2.1.0\n")
    two = project(tmp_path / "two", requirements__txt="numpy==2.2.0\n")
    build(builder, one)
    build(builder, two)
    assert builder.prune({one[0].digest}) > 0
    (tmp_path / "orders" / "now.part").mkdir()
    assert builder.prune({one[0].digest}) == 0
    assert (tmp_path / "orders" / "now.part").is_dir()
    assert builder.find(one[0].digest, Tier.CHANGE) is not None
    assert builder.find(two[0].digest, Tier.CHANGE) is None


def test_a_broken_order_counts_as_absent(tmp_path: Path) -> None:
    builder = PodBuilder(tmp_path / "orders")
    given = project(tmp_path / "p", requirements__txt="numpy==2.1.0\n")
    build(builder, given)
    (builder.folder(given[0].digest) / "order.json").write_text('{"spec": ')
    assert builder.find(given[0].digest, Tier.CHANGE) is None
    assert build(builder, given)[0].path
    assert builder.find(given[0].digest, Tier.CHANGE) is not None

"""What every Builder must do; an implementation subclasses this and gives a `builder` fixture."""

from __future__ import annotations

import io
import subprocess
import threading
from pathlib import Path

import pytest

from headway.environments.base import Builder
from headway.environments.failure import BuildFailed
from headway.environments.files import FolderFiles
from headway.environments.find import find_environment
from headway.environments.model import BuiltEnv, EnvSpec, Tier
from headway.projects.model import EnvSection


class BuilderContract:
    """The suite; `builder` is fresh and empty, `good` and `other` are requirements that can be built."""

    good = "# nothing\n"
    other = "# nothing, differently\nsetuptools-is-not-wanted; python_version < '3'\n"
    bad = "fails\n"

    @pytest.fixture
    def builder(self, tmp_path: Path) -> Builder:
        raise NotImplementedError

    def project(self, folder: Path, requirements: str) -> tuple[EnvSpec, Path]:
        folder.mkdir(exist_ok=True)
        (folder / "requirements.txt").write_text(requirements)
        return find_environment(FolderFiles(folder), EnvSection(), default_python="3.11"), folder

    def test_nothing_is_found_before_it_is_built(self, builder: Builder) -> None:
        assert builder.find("0" * 64, Tier.FORK) is None

    def test_what_was_built_is_found_and_runs(self, builder: Builder, tmp_path: Path) -> None:
        spec, source = self.project(tmp_path / "p", self.good)
        log = io.StringIO()
        built = builder.build(spec, source, Tier.MAIN, log)
        assert not built.reused
        assert built.digest == spec.digest
        assert log.getvalue()
        found = builder.find(spec.digest, Tier.MAIN)
        assert found is not None
        assert (found.path, found.seconds, found.packages, found.reused) == (
            built.path,
            built.seconds,
            built.packages,
            True,
        )
        done = subprocess.run(
            [f"{built.path}/bin/python", "-c", "print(6 * 7)"], capture_output=True, text=True, check=True
        )
        assert done.stdout == "42\n"

    def test_building_again_reuses(self, builder: Builder, tmp_path: Path) -> None:
        spec, source = self.project(tmp_path / "p", self.good)
        built = builder.build(spec, source, Tier.MAIN, io.StringIO())
        again = builder.build(spec, source, Tier.MAIN, io.StringIO())
        assert again.reused
        assert again.path == built.path

    def test_a_lower_tier_reads_from_a_higher_one_and_never_the_other_way(
        self, builder: Builder, tmp_path: Path
    ) -> None:
        spec, source = self.project(tmp_path / "p", self.good)
        change = builder.build(spec, source, Tier.CHANGE, io.StringIO())
        assert builder.find(spec.digest, Tier.MAIN) is None
        fork = builder.find(spec.digest, Tier.FORK)
        assert fork is not None
        assert fork.path == change.path
        main = builder.build(spec, source, Tier.MAIN, io.StringIO())
        assert not main.reused
        assert main.path != change.path
        best = builder.find(spec.digest, Tier.FORK)
        assert best is not None
        assert best.path == main.path

    def test_builders_that_race_share_one_build(self, builder: Builder, tmp_path: Path) -> None:
        spec, source = self.project(tmp_path / "p", self.good)
        made: list[BuiltEnv] = []
        start = threading.Barrier(4)

        def build() -> None:
            start.wait(timeout=60)
            made.append(builder.build(spec, source, Tier.CHANGE, io.StringIO()))

        threads = [threading.Thread(target=build) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=120)
        assert len(made) == 4
        assert len({each.path for each in made}) == 1
        assert sorted(each.reused for each in made) == [False, True, True, True]

    def test_what_cannot_be_built_fails_with_a_hint_and_leaves_nothing(self, builder: Builder, tmp_path: Path) -> None:
        spec, source = self.project(tmp_path / "p", self.bad)
        with pytest.raises(BuildFailed) as caught:
            builder.build(spec, source, Tier.MAIN, io.StringIO())
        assert caught.value.cause
        assert "requirements.txt" in caught.value.hint
        assert builder.find(spec.digest, Tier.MAIN) is None

    def test_files_that_are_gone_fail(self, builder: Builder, tmp_path: Path) -> None:
        spec, source = self.project(tmp_path / "p", self.good)
        (source / "requirements.txt").unlink()
        with pytest.raises(BuildFailed, match="planned with"):
            builder.build(spec, source, Tier.MAIN, io.StringIO())

    def test_pruning_keeps_what_is_named_and_frees_the_rest(self, builder: Builder, tmp_path: Path) -> None:
        kept, source = self.project(tmp_path / "kept", self.good)
        builder.build(kept, source, Tier.MAIN, io.StringIO())
        gone, source = self.project(tmp_path / "gone", self.other)
        assert gone.digest != kept.digest
        builder.build(gone, source, Tier.MAIN, io.StringIO())
        builder.build(gone, source, Tier.FORK, io.StringIO())
        assert builder.prune([kept.digest]) > 0
        assert builder.find(kept.digest, Tier.MAIN) is not None
        assert builder.find(gone.digest, Tier.FORK) is None
        assert builder.prune([kept.digest]) == 0

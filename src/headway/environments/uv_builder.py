"""Environments made by uv: wheels only unless the tier may build, indexes from the operator only."""

from __future__ import annotations

import errno
import os
import re
import shutil
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from headway.environments.failure import BuildFailed, BuildInterrupted, explain, needs_build, normal
from headway.environments.files import FolderFiles
from headway.environments.model import BuiltEnv, EnvKind, EnvSpec, Tier
from headway.environments.operator_config import OperatorConfig, read_operator_config
from headway.environments.requirements import Line, Requirements, Source
from headway.environments.sealed_build import Sealing, WheelOrder, build_wheel, keep_wheel
from headway.environments.shelf import Shelf
from headway.environments.trim import prune_shelf
from headway.environments.uv_process import Ended, run_logged, run_uv
from headway.environments.wanted import (
    NO_WHEEL,
    as_text,
    check_sources,
    check_wheels,
    interpreter,
    may_require_hashes,
    read_wanted,
)
from headway.errors import HeadwayError
from headway.ids import digest_file

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from typing import TextIO

_TESTS = r"/(tests?|testing)/"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Build:
    """One build under way: what every step of it needs."""

    spec: EnvSpec
    source: Path
    tier: Tier
    shelf: Shelf
    log: TextIO
    scratch: Path
    lock: int

    def say(self, text: str) -> None:
        self.log.write(text + "\n")
        self.log.flush()


class UvBuilder:
    """Implements `environments.base.Builder` with uv; the interpreter is one that is on this machine."""

    def __init__(
        self,
        root: Path,
        *,
        operator: OperatorConfig | None = None,
        may_build: Collection[str] = (),
        limit: timedelta = timedelta(minutes=30),
        python_downloads: bool = False,
        compile_bytecode: bool = True,
        sealing: Sealing | None = None,
        wheels_only: bool = False,
    ) -> None:
        """Use `root` for environments and caches; `may_build` names what even code from a fork may have built.

        With `sealing` whatever must be built is built in the sandbox; without it, outside, and never for a fork.
        With `wheels_only` nothing is built for anybody, so that no foreign code runs beside the environments.
        """
        self._shelves = {tier: Shelf(root.absolute(), tier) for tier in Tier}
        self._operator = read_operator_config(os.environ) if operator is None else operator
        self._may_build = frozenset(normal(each) for each in may_build)
        self._limit = limit
        self._python_downloads = python_downloads
        # Environments are read-only at run time, so what is not compiled now is compiled at every start.
        self._compile = compile_bytecode
        self._sealing = sealing
        self._wheels_only = wheels_only

    def find(self, digest: str, tier: Tier) -> BuiltEnv | None:
        """Return a finished environment of this tier or a higher one, the highest first."""
        for each in sorted(Tier, reverse=True):
            found = self._shelves[each].find(digest) if each >= tier else None
            if found is not None:
                return found
        return None

    def packages(self, digest: str, tier: Tier) -> dict[str, str]:
        """Return what a finished environment holds: name -> version; empty when there is none."""
        found = [self._shelves[each].packages(digest) for each in sorted(Tier, reverse=True) if each >= tier]
        return next((each for each in found if each), {})

    def build(self, spec: EnvSpec, source: Path, tier: Tier, log: TextIO) -> BuiltEnv:
        """Build at its final place, under the digest's lock; the marker comes last."""
        found = self.find(spec.digest, tier)
        if found is not None:
            return found
        shelf = self._shelves[tier]
        try:
            with shelf.lock(spec.digest, log) as lock:
                found = self.find(spec.digest, tier)
                if found is not None:
                    return found
                with _scratch(shelf, spec.digest) as scratch:
                    build = _Build(
                        spec=spec, source=source, tier=tier, shelf=shelf, log=log, scratch=scratch, lock=lock
                    )
                    return self._make(build)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise explain(os.strerror(error.errno), spec) from error

    def prune(self, keep: Collection[str]) -> int:
        """Remove environments that are not in `keep`, and of the cache what only they used."""
        kept = frozenset(keep)
        return sum(prune_shelf(shelf, kept, variables=self._variables(shelf)) for shelf in self._shelves.values())

    def note_use(self, digest: str) -> None:
        """Remember that an environment is wanted still, on whichever shelf it stands."""
        for shelf in self._shelves.values():
            shelf.note_use(digest)

    def drop_unused(self, tier: Tier, *, days: float) -> int:
        """Remove environments of one tier that nobody has wanted for so long; return the bytes freed."""
        shelf = self._shelves[tier]
        unused = shelf.unused(days)
        kept = frozenset(shelf.digests()) - unused
        return prune_shelf(shelf, kept, variables=self._variables(shelf)) if unused else 0

    # --- one build ------------------------------------------------------------------------------

    def _make(self, build: _Build) -> BuiltEnv:
        started = time.monotonic()
        build.shelf.discard(build.spec.digest)  # what a killed build left
        try:
            wanted = self._wanted(build)
            for clause in wanted.ignored if wanted else ():
                build.say(clause)
            if wanted is not None:
                check_sources(wanted, build.tier)
                if self._wheels_only:
                    check_wheels(wanted)
            self._make_venv(build)
            if wanted is not None:
                self._install(build, wanted)
                self._compile_packages(build)
        except HeadwayError:
            build.shelf.discard(build.spec.digest)
            raise
        seconds = round(time.monotonic() - started, 3)
        made = build.shelf.finish(build.spec.digest, seconds=seconds)
        build.say(f"environment {build.spec.digest[:12]} is ready: {made.packages} packages in {seconds:.1f} s")
        return made

    def _wanted(self, build: _Build) -> Requirements | None:
        if build.spec.kind is EnvKind.NONE:
            build.say("no lock file, requirements or pyproject.toml: a bare Python without packages")
            return None
        variables = self._variables(build.shelf)
        return read_wanted(build.spec, FolderFiles(build.source), scratch=build.scratch, variables=variables)

    def _make_venv(self, build: _Build) -> None:
        options = ["--python", interpreter(build.spec.python), "--no-project"]
        if not self._python_downloads:
            options.append("--no-python-downloads")
        self._uv(build, ("venv", *options, str(build.shelf.path(build.spec.digest))), quiet=True)

    def _install(self, build: _Build, wanted: Requirements) -> None:
        if all(line.is_constraint for line in wanted.lines):
            build.say("nothing is required: a bare Python without packages")
            return
        made: dict[str, Path] = {}  # wheels that were built in the sandbox
        built: frozenset[str] = frozenset()
        if self._sealing is None and not self._wheels_only:
            built = frozenset(line.name for line in wanted.lines if line.source is Source.GIT and line.name)
        while True:
            exceptions = [argument for name in sorted(built) for argument in ("--no-binary", name)]
            ended = self._run(build, (*self._install_command(build, wanted, made), *exceptions))
            if ended.exit_code == 0:
                return
            missing = needs_build(ended.output) - built - made.keys()
            if not missing or ended.is_timed_out:
                raise self._failure(build, ended)
            self._check_may_build(build, missing)
            if self._sealing is None:
                build.say(f"no wheel for {', '.join(sorted(missing))}: building from source, outside any sandbox")
                built |= missing
            else:
                made |= {name: self._make_wheel(build, wanted, name, self._sealing) for name in sorted(missing)}

    def _make_wheel(self, build: _Build, wanted: Requirements, name: str, sealing: Sealing) -> Path:
        build.say(f"no wheel for {name}: building it from source in the sandbox")
        lines = [line for line in wanted.lines if line.name == name]
        local = tuple(Path(each).expanduser() for each in self._operator.find_links if "://" not in each)
        order = WheelOrder(
            name=name,
            requirement=as_text(lines, build.source).strip() or name,
            folder=build.scratch / f"build-{name}",
            env_path=build.shelf.path(build.spec.digest),
            options=tuple(self._index_options()),
            readable=local,
            limit=self._limit,
            lock=build.lock,
        )
        wheel, ended = build_wheel(order, sealing, variables=self._operator.variables, log=build.log)
        if wheel is None:
            raise self._failure(build, ended)
        return keep_wheel(wheel, build.scratch / "wheelhouse")

    def _install_command(self, build: _Build, wanted: Requirements, made: Mapping[str, Path]) -> list[str]:
        python = build.shelf.path(build.spec.digest) / "bin" / "python"
        command = ["pip", "install", "--python", str(python), "--only-binary", ":all:", *self._index_options()]
        if build.spec.kind is EnvKind.UV_LOCK:
            command.append("--no-deps")
        lines = [_from_wheel(line, made[line.name]) if line.name in made else line for line in wanted.lines]
        if may_require_hashes(lines):
            command.append("--require-hashes")
        if made:
            command += ["--find-links", str(build.scratch / "wheelhouse")]
        for option, name, is_constraint in (("-r", "wanted.txt", False), ("-c", "constraints.txt", True)):
            text = as_text((line for line in lines if line.is_constraint is is_constraint), build.source)
            if text:
                (build.scratch / name).write_text(text, encoding="utf-8")
                command += [option, name]
        return command

    def _index_options(self) -> list[str]:
        options = [argument for link in self._operator.find_links for argument in ("--find-links", link)]
        return [*options, "--no-index"] if self._operator.no_index else options

    def _compile_packages(self, build: _Build) -> None:
        """Compile what may be imported; code that cannot be compiled fails when it is imported, not here."""
        if not self._compile:
            return
        started = time.monotonic()
        path = build.shelf.path(build.spec.digest)
        # Without site, so that no .pth file of a package runs; tests are a third of the files and imported by nobody.
        python = (str(path / "bin" / "python"), "-I", "-S", "-m", "compileall", "-qq", "-j", "0", "-x", _TESTS)
        run_logged(
            (*python, *map(str, path.glob("lib/python*/site-packages"))),
            cwd=build.scratch,
            variables=self._variables(build.shelf),
            log=build.log,
            limit=self._limit,
            held=(build.lock,),
        )
        build.say(f"compiled the packages in {time.monotonic() - started:.1f} s: they start faster from now on")

    def _check_may_build(self, build: _Build, missing: frozenset[str]) -> None:
        if self._wheels_only:
            raise BuildFailed(
                f"the environment was not made: no wheel for {', '.join(sorted(missing))}, and nothing is built here",
                cause="building runs the package's own code, beside the environments of others",
                hint=NO_WHEEL,
            )
        if build.tier is not Tier.FORK:
            return
        refused = sorted(missing if self._sealing is None else missing - self._may_build)
        if refused:
            raise BuildFailed(
                f"the environment was not made: no wheel for {', '.join(refused)}, and a fork may not build it",
                cause="building runs the package's own code"
                + ("" if self._sealing else ", and this machine has no sandbox for it"),
                hint="choose versions with wheels, or ask a maintainer to push the branch into this repository",
            )

    def _uv(self, build: _Build, arguments: tuple[str, ...], *, quiet: bool = False) -> None:
        ended = self._run(build, (*arguments, "--quiet") if quiet else arguments)
        if ended.exit_code != 0:
            raise self._failure(build, ended)

    def _run(self, build: _Build, arguments: tuple[str, ...]) -> Ended:
        return run_uv(
            arguments,
            cwd=build.scratch,
            variables=self._variables(build.shelf),
            log=build.log,
            limit=self._limit,
            held=(build.lock,),
        )

    def _failure(self, build: _Build, ended: Ended) -> BuildFailed:
        if ended.is_timed_out:
            minutes = self._limit.total_seconds() / 60
            return BuildInterrupted(
                f"the environment was not made within {minutes:g} minutes",
                cause=ended.output.splitlines()[-1] if ended.output else "",
                hint="try again: what was downloaded is kept",
            )
        return explain(ended.output, build.spec, extra_index_ignored=self._operator.ignores_extra_index)

    def _variables(self, shelf: Shelf) -> dict[str, str]:
        return {**self._operator.variables, "UV_CACHE_DIR": str(shelf.cache), "UV_NO_PROGRESS": "1", "NO_COLOR": "1"}


@contextmanager
def _scratch(shelf: Shelf, digest: str) -> Iterator[Path]:
    folder = shelf.scratch / shelf.path(digest).name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    # uv looks for settings from here upwards and stops at the first file: this one says nothing.
    (folder / "uv.toml").write_bytes(b"")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _from_wheel(line: Line, wheel: Path) -> Line:
    if line.is_constraint:
        return line
    extras = re.match(r"[A-Za-z0-9._-]+\s*(\[[^\]]*\])?", line.text)
    text = f"{line.name}{(extras[1] or '') if extras else ''} @ {wheel.as_uri()}"
    # No lock file can know the hash of what was made just now: that of its source was checked in the sandbox.
    return replace(line, text=text, source=Source.URL, hashes=(f"sha256:{digest_file(wheel)}",) if line.hashes else ())

"""Environments made by uv: wheels only unless the tier may build, indexes from the operator only."""

from __future__ import annotations

import errno
import os
import shutil
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from headway.environments.failure import BuildFailed, BuildInterrupted, explain, needs_build, normal
from headway.environments.files import FolderFiles
from headway.environments.find import describe, read_project
from headway.environments.model import BuiltEnv, EnvKind, EnvSpec, Tier
from headway.environments.operator_config import OperatorConfig, read_operator_config
from headway.environments.requirements import Line, Requirements, Source, read_requirements
from headway.environments.shelf import Shelf
from headway.environments.uv_process import Ended, read_uv, run_logged, run_uv
from headway.errors import HeadwayError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path
    from typing import TextIO

_EXPORTED = "the packages of uv.lock"
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
    ) -> None:
        """Use `root` for environments and caches; `may_build` names what even code from a fork may have built."""
        self._shelves = {tier: Shelf(root.absolute(), tier) for tier in Tier}
        self._operator = read_operator_config(os.environ) if operator is None else operator
        self._may_build = frozenset(normal(each) for each in may_build)
        self._limit = limit
        self._python_downloads = python_downloads
        # Environments are read-only at run time, so what is not compiled now is compiled at every start.
        self._compile = compile_bytecode

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
        return sum(self._prune_shelf(shelf, frozenset(keep)) for shelf in self._shelves.values())

    # --- one build ------------------------------------------------------------------------------

    def _make(self, build: _Build) -> BuiltEnv:
        started = time.monotonic()
        build.shelf.discard(build.spec.digest)  # what a killed build left
        try:
            wanted = self._wanted(build)
            for clause in wanted.ignored if wanted else ():
                build.say(clause)
            if wanted is not None:
                _check_sources(wanted, build.tier)
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
        spec, files = build.spec, FolderFiles(build.source)
        if spec.kind is EnvKind.NONE:
            build.say("no lock file, requirements or pyproject.toml: a bare Python without packages")
            return None
        _prove(spec, files)
        if spec.kind is EnvKind.UV_LOCK:
            return self._export(build, files)
        if spec.kind is EnvKind.PYPROJECT:
            build.say(f"{spec.files[0]} has no lock file: versions are chosen now; `uv lock` would pin them")
            return read_project(files, spec.files[0]).wanted
        return read_requirements(files, spec.files[0])

    def _export(self, build: _Build, files: Mapping[str, bytes]) -> Requirements:
        """Turn uv.lock into names, versions and hashes: the addresses in it are the change's, not the operator's."""
        for path in build.spec.files:
            copy = build.scratch / "lock" / path
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(files[path])
        folder = (build.scratch / "lock" / build.spec.files[0]).parent
        options = ("--frozen", "--no-config", "--no-emit-workspace", "--no-header", "--no-annotate")
        python = ("--python", _interpreter(build.spec.python), "--no-python-downloads")
        ended = read_uv(("export", *options, *python), cwd=folder, variables=self._variables(build.shelf))
        if ended.exit_code != 0:
            raise explain(ended.output, build.spec)
        wanted = read_requirements(
            {**dict.fromkeys(build.spec.files, b""), _EXPORTED: ended.output.encode()}, _EXPORTED
        )
        members = len(build.spec.files) > 2
        note = "packages of the workspace are not installed: add their folders to PYTHONPATH in `env: variables:`"
        return Requirements(lines=wanted.lines, ignored=(note,) if members else (), files=build.spec.files)

    def _make_venv(self, build: _Build) -> None:
        options = ["--python", _interpreter(build.spec.python), "--no-project"]
        if not self._python_downloads:
            options.append("--no-python-downloads")
        self._uv(build, ("venv", *options, str(build.shelf.path(build.spec.digest))), quiet=True)

    def _install(self, build: _Build, wanted: Requirements) -> None:
        command = [*self._install_command(build), *_written(build, wanted)]
        if build.spec.kind is EnvKind.UV_LOCK:
            command.append("--no-deps")
        if _may_require_hashes(wanted):
            command.append("--require-hashes")
        if not any(not line.is_constraint for line in wanted.lines):
            build.say("nothing is required: a bare Python without packages")
            return
        built: frozenset[str] = _must_build(wanted)
        while True:
            exceptions = [argument for name in sorted(built) for argument in ("--no-binary", name)]
            ended = self._run(build, (*command, *exceptions))
            if ended.exit_code == 0:
                return
            missing = needs_build(ended.output) - built
            if not missing or ended.is_timed_out:
                raise self._failure(build, ended)
            self._check_may_build(build, missing)
            build.say(
                f"no wheel for {', '.join(sorted(missing))}: building from source, which runs code of the package"
            )
            built |= missing

    def _install_command(self, build: _Build) -> list[str]:
        python = build.shelf.path(build.spec.digest) / "bin" / "python"
        command = ["pip", "install", "--python", str(python), "--only-binary", ":all:"]
        command += [argument for link in self._operator.find_links for argument in ("--find-links", link)]
        if self._operator.no_index:
            command.append("--no-index")
        return command

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
        refused = sorted(missing - self._may_build) if build.tier is Tier.FORK else []
        if refused:
            raise BuildFailed(
                f"the environment was not made: no wheel for {', '.join(refused)}, and a fork may not build it",
                cause="building runs the package's own code",
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

    # --- pruning --------------------------------------------------------------------------------

    def _prune_shelf(self, shelf: Shelf, keep: frozenset[str]) -> int:
        gone = [digest for digest in shelf.digests() if digest not in keep]
        if not shelf.folder.is_dir():
            return 0
        before = shelf.size()
        dropped: set[str] = set()
        for digest in gone:
            names = set(shelf.packages(digest))
            with shelf.try_lock(digest) as is_held:
                if is_held:
                    shelf.discard(digest)
                    dropped |= names
        kept = shelf.digests()
        if not set(kept) & set(gone):  # otherwise somebody builds, and uses the cache
            unused = sorted(dropped - {name for digest in kept for name in shelf.packages(digest)})
            self._trim_cache(shelf, unused, is_empty=not kept)
        return max(0, before - shelf.size())

    def _trim_cache(self, shelf: Shelf, unused: list[str], *, is_empty: bool) -> None:
        if not shelf.cache.is_dir():
            return
        # A build that began just now holds the cache: the next pruning will do.
        variables = {**self._variables(shelf), "UV_LOCK_TIMEOUT": "5"}
        if is_empty:
            read_uv(("cache", "clean", "--quiet"), cwd=shelf.folder, variables=variables)
            return
        if unused:
            read_uv(("cache", "clean", "--quiet", *unused), cwd=shelf.folder, variables=variables)
        read_uv(("cache", "prune", "--quiet"), cwd=shelf.folder, variables=variables)


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


def _interpreter(python: str) -> str:
    if python == f"{sys.version_info.major}.{sys.version_info.minor}":
        return os.path.realpath(sys.executable)  # asking the whole machine for it takes far longer
    return python


def _prove(spec: EnvSpec, files: Mapping[str, bytes]) -> None:
    missing = [path for path in spec.files if path not in files]
    actual = None if missing else describe(files, kind=spec.kind, path=spec.files[0], python=spec.python)
    if actual is None or actual.digest != spec.digest:
        raise BuildFailed(
            f"the files that describe the environment are not those that were planned with: {', '.join(spec.files)}",
            cause=f"missing: {', '.join(missing)}" if missing else "their digest differs",
            hint="plan again at this commit",
        )


def _check_sources(wanted: Requirements, tier: Tier) -> None:
    direct = [line for line in wanted.lines if line.source in (Source.URL, Source.GIT)]
    if direct and tier is Tier.FORK:
        raise BuildFailed(
            f"the environment was not made: {direct[0].where} takes {direct[0].text!r} from an address of its own",
            cause="code from a fork gets packages from the operator's index only",
            hint="name a released version, or ask a maintainer to push the branch into this repository",
        )


def _must_build(wanted: Requirements) -> frozenset[str]:
    return frozenset(line.name for line in wanted.lines if line.source is Source.GIT and line.name)


def _may_require_hashes(wanted: Requirements) -> bool:
    if not wanted.is_hashed:
        return False
    # A git commit is its own proof and has no hash to state.
    return all(line.source is not Source.GIT for line in wanted.lines)


def _written(build: _Build, wanted: Requirements) -> list[str]:
    arguments: list[str] = []
    for option, name, is_constraint in (("-r", "wanted.txt", False), ("-c", "constraints.txt", True)):
        lines = [line for line in wanted.lines if line.is_constraint is is_constraint]
        if lines:
            text = "\n".join(_line_text(line, build.source) for line in lines)
            (build.scratch / name).write_text(text + "\n", encoding="utf-8")
            arguments += [option, name]
    return arguments


def _line_text(line: Line, source: Path) -> str:
    text = str(source.resolve() / line.text) if line.source is Source.WHEEL else line.text
    return " ".join((text, *(f"--hash={each}" for each in line.hashes)))

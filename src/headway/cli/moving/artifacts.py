"""Copying artifacts: several owners at once, each file streamed, and only what is not here yet."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from headway.cli.moving.figures import Outcome, difference
from headway.cli.moving.journal import Journal
from headway.cli.moving.pack import Place
from headway.cli.moving.source import Files
from headway.cli.moving.target import Target
from headway.errors import HeadwayError, Unreachable
from headway.tracking.moved import Asked
from headway.tracking.peer.model import PeerFile

_THREADS = 4
_TRIES = 4
_OURS = "mlflow-artifacts:/"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Copied:
    files: int
    size: int
    problems: tuple[tuple[str, str], ...] = ()


class Copier:
    """Copies the artifacts of runs and logged models from one source to our server."""

    def __init__(self, files: Files, target: Target, journal: Journal, tell: Callable[[int, int], None]) -> None:
        """Take both ends; `tell` hears of every file and its bytes, from several threads."""
        self._files = files
        self._target = target
        self._journal = journal
        self._tell = tell

    def copy(self, places: Sequence[Place], outcome: Outcome) -> None:
        """Copy what lies at these places and is not here yet, then compare what is there with what is here."""
        before = self._sizes(places)
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="artifacts") as pool:
            copied = list(pool.map(lambda place: self._owner(place, before.get(_id(place), (0, 0))), places))
        after = self._sizes(places)
        for place, done in zip(places, copied, strict=True):
            files, size = after.get(_id(place), (0, 0))
            outcome.there.add(files=done.files, bytes=done.size)
            outcome.here.add(files=files, bytes=size)
            for path, why in done.problems:
                outcome.problem(f"artifact {path} of {_name(place)}" if path else f"artifacts of {_name(place)}", why)
            here = {"artifact files": files, "artifact bytes": size}
            lacking = difference((("artifact files", done.files), ("artifact bytes", done.size)), here, is_new=False)
            if lacking and not done.problems:
                outcome.problem(_name(place), lacking)
            elif not lacking and not done.problems:
                self._journal.write("files", _id(place), [done.files, done.size])
        self._journal.flush()

    def _sizes(self, places: Sequence[Place]) -> dict[str, tuple[int, int]]:
        found = self._target.counts(
            Asked(
                runs=tuple(each.run_id for each in places if not each.model_id),
                logged_models=tuple(each.model_id for each in places if each.model_id),
                with_files=True,
            )
        )
        sizes = {each.run_id: (each.files, each.bytes) for each in found.runs}
        return sizes | {each.model_id: (each.files, each.bytes) for each in found.logged_models}

    def _owner(self, place: Place, here: tuple[int, int]) -> _Copied:
        said = self._journal.said("files", _id(place))
        if isinstance(said, list) and tuple(said) == here:
            return _Copied(files=here[0], size=here[1])
        try:
            found = list(self._files.list(place.there))
        except (HeadwayError, OSError) as error:
            return _Copied(files=0, size=0, problems=(("", _told(error)),))
        folder = place.here.removeprefix(_OURS)
        problems = [(each.path, each.problem) for each in found if each.problem]
        known = self._target.files(folder) if here[0] else {}
        for each in found:
            if each.problem or known.get(each.path) == each.size:
                continue
            if each.path in known:
                problems.append((each.path, f"another file of {known[each.path]} bytes is here; it was left"))
                continue
            try:
                self._file(place, each, folder)
            except (HeadwayError, OSError, ValueError) as error:
                problems.append((each.path, _told(error)))
        return _Copied(files=len(found), size=sum(each.size for each in found), problems=tuple(problems))

    def _file(self, place: Place, file: PeerFile, folder: str) -> None:
        for number in range(1, _TRIES + 1):
            try:
                with self._files.open(place.there, file.path) as parts:
                    self._target.upload(f"{folder}/{file.path}", parts, file.size)
            except Unreachable:
                if number == _TRIES:
                    raise
                time.sleep(2.0**number)
            else:
                self._tell(1, file.size)
                return


def _id(place: Place) -> str:
    return place.model_id or place.run_id


def _name(place: Place) -> str:
    return f"logged model {place.model_id}" if place.model_id else f"run {place.run_id}"


def _told(error: Exception) -> str:
    if isinstance(error, HeadwayError):
        return ": ".join(filter(None, (error.message, error.cause, error.hint)))
    return str(error)

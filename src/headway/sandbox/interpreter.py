"""Where an environment's Python really lives: the folders that must be visible for it to run."""

from __future__ import annotations

import os
from pathlib import Path

_LINKS = 16


def interpreter_folders(env_path: Path) -> tuple[Path, ...]:
    """Return the installation folders behind `env_path/bin/python`, following links and pyvenv.cfg.

    Folders below /usr and the environment itself are left out, because they are visible anyway.
    """
    found: list[Path] = []
    for program in (env_path / "bin" / "python", env_path / "bin" / "python3"):
        found += [step.parent.parent for step in _links(program)]
    home = _home(env_path / "pyvenv.cfg")
    if home:
        found += [step.parent.parent for step in _links(home / "python3")]
    kept: list[Path] = []
    for folder in found:
        for each in (folder, Path(os.path.realpath(folder))):
            if each not in kept and not _is_visible(each, env_path):
                kept.append(each)
    return tuple(kept)


def _links(program: Path) -> list[Path]:
    """Return the absolute path of a program and of everything it is a link to, one hop at a time."""
    steps: list[Path] = []
    current = program
    for _ in range(_LINKS):
        if not os.path.lexists(current):
            break
        steps.append(current)
        if not current.is_symlink():
            break
        current = Path(os.path.normpath(current.parent / current.readlink()))
    return steps


def _home(config: Path) -> Path | None:
    try:
        lines = config.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    for line in lines:
        key, _, value = line.partition("=")
        if key.strip() == "home" and Path(value.strip()).is_absolute():
            return Path(value.strip())
    return None


def _is_visible(folder: Path, env_path: Path) -> bool:
    roots = (Path("/usr"), env_path)
    return folder == Path("/") or any(folder == root or root in folder.parents for root in roots)

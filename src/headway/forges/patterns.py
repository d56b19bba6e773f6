"""Patterns of branches as GitHub's settings mean them, which is narrower than a shell's or Python's own."""

from __future__ import annotations

from fnmatch import fnmatchcase

_ANY_FOLDERS = "**"


def fits(branch: str, pattern: str) -> bool:
    """Whether a branch is meant: `*` stays between two slashes, and `**/` stands for any number of folders.

    What is looser than GitHub would let through what its settings hold.
    """
    names, parts = branch.split("/"), pattern.split("/")
    places = {0}  # how many names may have been used up
    for index, part in enumerate(parts):
        if part == _ANY_FOLDERS and index < len(parts) - 1:
            places = set(range(min(places, default=len(names)), len(names)))
        else:
            wanted = part.replace("[^", "[!")  # Ruby, which GitHub asks, takes both
            places = {place + 1 for place in places if place < len(names) and fnmatchcase(names[place], wanted)}
    return len(names) in places

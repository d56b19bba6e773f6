"""A program in a box without a supervisor, for callers that wait for it themselves (builds, scorers, the self-test)."""

from __future__ import annotations

import base64
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headway.sandbox.command import Box, Facts, wrap_record

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """What `subprocess.Popen` needs: argv, env and pass_fds."""

    argv: list[str]
    environment: dict[str, str]
    descriptors: tuple[int, ...]


@contextmanager
def sealed(box: Box, facts: Facts, argv: Sequence[str], environment: Mapping[str, str]) -> Iterator[Sealed]:
    """Give the arguments of a process that runs `argv` in `box`; the descriptors live until the block ends.

    The box's folders (work, out, tmp, home) must exist. The thread that starts the process must outlive it:
    bubblewrap ends with the thread that started it.
    """
    wrap = wrap_record(box, facts)
    options: list[str] = []
    descriptors: list[int] = []
    try:
        for path, content in wrap["files"].items():  # first: at the end of the options the root is made read-only
            descriptors.append(_memory_file("file", content.encode()))
            options += ["--ro-bind-data", str(descriptors[-1]), path]
        options += wrap["options"]
        if wrap["seccomp"]:
            descriptors.append(_memory_file("seccomp", base64.b64decode(wrap["seccomp"])))
            options += ["--seccomp", str(descriptors[-1])]
        for name, value in environment.items():
            options += ["--setenv", name, value]
        descriptors.append(_memory_file("options", b"".join(option.encode() + b"\0" for option in options)))
        yield Sealed(
            argv=[facts.program, "--args", str(descriptors[-1]), "--", *wrap["prefix"], *argv],
            environment={"PATH": "/usr/local/bin:/usr/bin:/bin"},
            descriptors=tuple(descriptors),
        )
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _memory_file(name: str, content: bytes) -> int:
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC)
    with os.fdopen(os.dup(descriptor), "wb") as stream:
        stream.write(content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor

"""Why an environment could not be made, in the builder's own useful words and with what to run next."""

from __future__ import annotations

import re

from headway.environments.model import EnvKind, EnvSpec
from headway.errors import HeadwayError


class BuildFailed(HeadwayError):
    """The environment cannot be made from its files as they stand, or not at this moment."""

    code = "BUILD_FAILED"
    status = 422


class BuildInterrupted(BuildFailed):
    """The files may be fine: network, disk or time ran out, and trying again can help."""

    code = "BUILD_INTERRUPTED"
    status = 503
    retryable = True


_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
_LABEL = re.compile(r"^(error|cause|hint|Caused by):\s*")
_NOISE = re.compile(
    r"^(Using (CPython|Python)|Resolved|Prepared|Installed|Downloading|Building|Built|Creating)\b|^[+~-] "
)
_NEEDS_BUILD = (
    re.compile(r"Because ([A-Za-z0-9][A-Za-z0-9._-]*)(?:==\S+)? has no usable wheels"),
    re.compile(r"all versions of ([A-Za-z0-9][A-Za-z0-9._-]*) have no usable wheels"),
    re.compile(r"Wheels are required for `([A-Za-z0-9][A-Za-z0-9._-]*)"),
    re.compile(r"source distributions is disabled, but attempted to build `([A-Za-z0-9][A-Za-z0-9._-]*)"),
    re.compile(r"Building source distributions for `?([A-Za-z0-9][A-Za-z0-9._-]*)`? is disabled"),
)
_PACKAGE = re.compile(
    r"(?:Because (?:there is no version of )?|Failed to (?:download|build|fetch|prepare):? `)"
    r"([A-Za-z0-9][A-Za-z0-9._-]*)"
)
_UNKNOWN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*) was not found in the")
_NETWORK = re.compile(
    r"error sending request|tcp connect|dns error|timed out|Connection (?:refused|reset)|Failed to fetch|network|"
    r"status code \(?5\d\d|certificate",
    re.IGNORECASE,
)
_DISK = re.compile(r"No space left on device|os error 28|Disk quota exceeded|os error 122", re.IGNORECASE)


def clean(line: str) -> str:
    """Return one line of foreign output without terminal escapes and control characters."""
    return "".join(each for each in _ANSI.sub("", line) if each == "\t" or each.isprintable()).rstrip()


def needs_build(output: str) -> frozenset[str]:
    """Return the packages that have no wheel and could only be built, in normalised spelling."""
    joined = " ".join(output.split())
    return frozenset(normal(name) for each in _NEEDS_BUILD for name in each.findall(joined))


def normal(name: str) -> str:
    """Return a distribution's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def explain(output: str, spec: EnvSpec, *, extra_index_ignored: bool = False) -> BuildFailed:
    """Return the failure that uv's output tells of: which package, which file, what to run."""
    lines = [clean(line) for line in output.splitlines()]
    useful = [_LABEL.sub("", line.strip()) for line in lines if line.strip() and not _NOISE.match(line.strip())]
    cause = " · ".join(useful[-8:])[:1500] or "uv ended without a word"
    joined = " ".join(output.split())
    file = spec.files[0] if spec.files else "the project"
    if _DISK.search(joined):
        return BuildInterrupted(
            "the environment was not made: the disk is full",
            cause=cause,
            hint="free space; `headway server clean` removes environments that nothing refers to",
        )
    message, hint = _advice(joined, file, spec)
    if extra_index_ignored and _UNKNOWN.search(joined):
        hint += "; pip's extra-index-url is not handed to uv: name that index in UV_INDEX where the server starts"
    kind = BuildInterrupted if _is_network(joined) else BuildFailed
    return kind(f"the environment was not made: {message}", cause=cause, hint=hint)


def _is_network(joined: str) -> bool:
    return bool(_NETWORK.search(joined)) and "No solution found" not in joined and "Hash mismatch" not in joined


def _advice(joined: str, file: str, spec: EnvSpec) -> tuple[str, str]:
    if "No interpreter found" in joined:
        return (
            f"no Python {spec.python} on this machine",
            f"install Python {spec.python}, or set `env: {{python: ...}}` in headway.yaml to one that is here",
        )
    if "Hash mismatch" in joined:
        return (
            f"a download does not have the hash that {file} states",
            f"it was replaced, or the hash is of another one: lock again ({_relock(spec)}) and look at the change",
        )
    if found := _UNKNOWN.search(joined):
        return (
            f"there is no package {found[1]!r}",
            f"mend its name in {file}; one of another index needs that index in the server's configuration (UV_INDEX)",
        )
    return _advice_on_package(joined, file, spec)


def _advice_on_package(joined: str, file: str, spec: EnvSpec) -> tuple[str, str]:
    package = _PACKAGE.search(joined)
    if _is_network(joined):
        return (
            "the package index did not answer" + (f" while fetching {package[1]!r}" if package else ""),
            "try again; behind a proxy set HTTPS_PROXY where the server starts, for a mirror UV_DEFAULT_INDEX",
        )
    if "No solution found" in joined:
        named = f" (begin with {package[1]!r})" if package else ""
        return (
            f"the requirements in {file} contradict each other or do not exist{named}",
            f"change them in {file}, then {_relock(spec)}",
        )
    if "Failed to build" in joined or "build backend" in joined:
        named = repr(package[1]) if package else "a package"
        return (
            f"{named} has no wheel for Python {spec.python} and building it failed",
            f"choose a version with a wheel in {file}, or install what its build needs (compiler, headers)",
        )
    return f"uv failed on {file}", f"try the same by hand: {_relock(spec)}"


def _relock(spec: EnvSpec) -> str:
    if spec.kind is EnvKind.UV_LOCK:
        return "`uv lock`"
    if spec.kind is EnvKind.PYPROJECT:
        return "`uv lock`, and commit uv.lock"
    file = spec.files[0] if spec.files else "requirements.txt"
    return f"`uv pip install --dry-run -r {file}`"

"""What the operator of this machine set for pip and uv: it applies; what a project says of indexes does not."""

from __future__ import annotations

import configparser
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# A builder sees only what fetching needs: nothing of the server's secrets.
_PASSED = (
    "PATH",
    "HOME",
    "USER",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NETRC",
    "SSH_AUTH_SOCK",
    "XDG_CONFIG_HOME",
    "XDG_CONFIG_DIRS",
    "XDG_DATA_HOME",
    "SOURCE_DATE_EPOCH",
)
# These say where uv works, which is ours to say, or describe the server's own environment.
_OURS = ("UV_PROJECT", "UV_PROJECT_ENVIRONMENT", "UV_WORKING_DIRECTORY", "UV_CACHE_DIR", "UV_PYTHON", "UV_NO_CONFIG")


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorConfig:
    """pip's settings, translated, and the variables that a builder gets."""

    variables: dict[str, str]
    find_links: tuple[str, ...] = ()
    no_index: bool = False  # only what `find_links` hold
    ignores_extra_index: bool = False  # pip mixes indexes; uv takes one per name, so this is not handed over


def read_operator_config(environ: Mapping[str, str], *, files: tuple[Path, ...] | None = None) -> OperatorConfig:
    """Read the variables and pip's machine and user files; a broken pip.conf counts as absent."""
    pip = _pip_settings(environ, pip_files(environ) if files is None else files)
    variables = {name: environ[name] for name in _PASSED if name in environ}
    variables |= {name: value for name, value in environ.items() if name.startswith("UV_") and name not in _OURS}
    if "index-url" in pip and not {"UV_DEFAULT_INDEX", "UV_INDEX_URL"} & environ.keys():
        variables["UV_DEFAULT_INDEX"] = pip["index-url"]
    if "cert" in pip:
        variables.setdefault("SSL_CERT_FILE", pip["cert"])
    links = tuple(each for each in pip.get("find-links", "").split() if _is_usable(each))
    extra = bool(pip.get("extra-index-url")) and not {"UV_INDEX", "UV_EXTRA_INDEX_URL"} & environ.keys()
    no_index = pip.get("no-index", "").lower() in ("1", "true", "yes", "on")
    return OperatorConfig(variables=variables, find_links=links, no_index=no_index, ignores_extra_index=extra)


def pip_files(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Return pip's configuration files of machine and user, weakest first (never a project's)."""
    if environ.get("PIP_CONFIG_FILE") == os.devnull:
        return ()
    home = Path(environ.get("HOME", "/nonexistent"))
    config = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    machine = [Path(each, "pip", "pip.conf") for each in environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":")]
    named = [Path(environ["PIP_CONFIG_FILE"])] if environ.get("PIP_CONFIG_FILE") else []
    return (*machine, Path("/etc/pip.conf"), home / ".pip" / "pip.conf", config / "pip" / "pip.conf", *named)


def _pip_settings(environ: Mapping[str, str], files: tuple[Path, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for file in files:
        parser = configparser.RawConfigParser()
        try:
            parser.read(file, encoding="utf-8")
        except (configparser.Error, OSError, UnicodeDecodeError):
            continue
        for section in ("global", "install"):
            if parser.has_section(section):
                found |= {key.replace("_", "-"): value for key, value in parser.items(section)}
    for name in ("find-links", "index-url", "extra-index-url", "no-index", "cert"):
        value = environ.get(f"PIP_{name.upper().replace('-', '_')}")
        if value:
            found[name] = value
    return found


def _is_usable(link: str) -> bool:
    # uv fails on a folder that is not there, pip does not.
    return "://" in link or Path(link).expanduser().exists()

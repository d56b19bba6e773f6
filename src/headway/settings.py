"""The server's settings: one frozen record, at most 30 fields, each read from HEADWAY_<NAME>; and one of a cluster."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from headway.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


# What Kubernetes takes as the name of a namespace, a claim, a secret.
DNS_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_LABEL_PART = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,300}[A-Za-z0-9])?")
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")
_CLUSTER = "HEADWAY_KUBERNETES_"
# What a cluster cannot do without, and what it looks like.
_NEEDED = {"image": "registry.example.com/headway:1", "server_url": "http://ADDRESS-FOR-PODS:7474"}
_PULLS = ("Always", "IfNotPresent", "Never")


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowedVolume:
    """A volume of the cluster that steps may mount: its name in headway.yaml and the claim behind it."""

    name: str
    claim: str
    read_only: bool = False  # whatever a step asks for

    def __str__(self) -> str:
        """As it is written: NAME=CLAIM or NAME=CLAIM:ro."""
        return f"{self.name}={self.claim}{':ro' if self.read_only else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class KubernetesSettings:
    """What the operator says of a cluster; without namespaces there is none. Variables: HEADWAY_KUBERNETES_<NAME>."""

    namespaces: tuple[str, ...] = ()
    """Namespaces, by commas, that a headway.yaml may name; the first is the usual one. Empty means no cluster."""
    image: str = ""
    """Headway's own container image, as the cluster's nodes know it."""
    server_url: str = ""
    """The address at which pods reach this server."""
    kubeconfig: str = ""
    """A kubeconfig file; empty means the account of the server's own pod, or else KUBECONFIG."""
    context: str = ""
    """The context in it; empty means its current one."""
    slots: int = 20
    """How many attempts may be in the cluster at the same time."""
    images: tuple[str, ...] = ()
    """Patterns, by commas, of what `image:` of a step may name: `registry.example/ml/*`; empty means nothing."""
    volumes: tuple[AllowedVolume, ...] = ()
    """What `volumes:` of a step may name, by commas: NAME=CLAIM, or NAME=CLAIM:ro where nobody may write."""
    cache: str = "empty"
    """Where pods keep environments: `claim:NAME`, `host:/FOLDER`, or `empty`: each pod makes its own."""
    index_url: str = ""
    """The package index that pods use; empty means the public one."""
    index_secret: str = ""
    """A Secret of the namespace with further variables for uv, such as a login of the index."""
    proxy: str = ""
    """The proxy through which pods fetch packages."""
    no_proxy: str = ""
    """Hosts, by commas, that they reach without it."""
    pull_policy: str = "IfNotPresent"
    """When nodes fetch an image: `Always`, `IfNotPresent` or `Never`."""
    pull_secret: str = ""
    """A Secret of the namespace with the login of a private registry of images."""
    runtime_class: str = ""
    """The RuntimeClass of attempts, such as `gvisor`."""
    node_selector: tuple[str, ...] = ()
    """Labels, by commas, of the nodes that attempts may run on: LABEL=VALUE."""
    accelerators: tuple[str, ...] = ()
    """Which nodes have which accelerator, by commas: NAME=LABEL=VALUE."""
    accelerator_resource: str = "nvidia.com/gpu"
    """What an accelerator is called in a pod's limits."""
    enforces_network: bool = False
    """Whether the cluster's network keeps NetworkPolicies: only then it takes code that may not reach the network."""
    predictions_gb: int = 50
    """How many gigabytes of the predictions of one endpoint in the cluster are kept here."""
    step_memory_mb: int = 0
    """The memory of steps that say nothing of it; 0 = no limit, where the namespace allows that."""
    pending_minutes: int = 60
    """How long an attempt waits for a node before it is given up."""

    def __post_init__(self) -> None:
        """Refuse what the cluster would refuse later, naming the variable and what to write."""
        missing = [_CLUSTER + name.upper() for name in _NEEDED if not getattr(self, name)]
        if self.namespaces and missing:
            raise UsageError(
                f"{' and '.join(missing)} must be set, too",
                cause="HEADWAY_KUBERNETES_NAMESPACES is set, so there is a cluster",
                hint="; ".join(f"export {each}={_NEEDED[each.removeprefix(_CLUSTER).lower()]}" for each in missing),
            )
        for name, problem in _problems(self):
            variable = f"HEADWAY_KUBERNETES_{name.upper()}"
            raise UsageError(f"{variable}: {problem}", hint=f"correct {variable}, or unset it")

    @property
    def package_variables(self) -> dict[str, str]:
        """The variables by which a pod reaches packages."""
        proxies = dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY"), self.proxy)
        variables = {"UV_DEFAULT_INDEX": self.index_url, **proxies, "NO_PROXY": self.no_proxy}
        return {name: value for name, value in variables.items() if value}

    @property
    def is_set_up(self) -> bool:
        """Whether there is a cluster."""
        return bool(self.namespaces)

    def volume(self, name: str) -> AllowedVolume | None:
        """Return the volume of that name in headway.yaml; None where nobody may mount it."""
        return next((each for each in self.volumes if each.name == name), None)

    def allows_image(self, image: str) -> bool:
        """Whether a step may run in this image: some pattern of the operator's fits the whole of its name."""
        return any(fnmatchcase(image, pattern) for pattern in self.images)


_AT_LEAST_ONE = ("slots", "pending_minutes", "predictions_gb")


def _problems(given: KubernetesSettings) -> list[tuple[str, str]]:
    """Return (field, what is wrong with it)."""
    names = [("namespaces", each) for each in given.namespaces]
    names += [("volumes", each.claim) for each in given.volumes]
    names += [(name, getattr(given, name)) for name in ("index_secret", "pull_secret") if getattr(given, name)]
    found = [(name, f"{each!r} is no name that Kubernetes takes") for name, each in names if not _is_label(each)]
    if given.server_url and not _is_address(given.server_url):
        found.append(("server_url", f"{given.server_url!r} is no http:// or https:// address of a server"))
    if not _is_cache(given.cache):
        found.append(("cache", f"{given.cache!r} is neither `empty`, `claim:NAME` nor `host:/FOLDER`"))
    if given.pull_policy not in _PULLS:
        found.append(("pull_policy", f"{given.pull_policy!r} is none of {', '.join(_PULLS)}"))
    for name, parts in (("node_selector", 2), ("accelerators", 3)):
        wrong = [each for each in getattr(given, name) if not _is_labelled(each, parts)]
        found += [(name, f"{each!r} is not {'NAME=' if parts > 2 else ''}LABEL=VALUE") for each in wrong]
    found += [("images", f"{each!r} would take every image") for each in given.images if not each.strip("*/?")]
    found += [(name, "it must be at least 1") for name in _AT_LEAST_ONE if getattr(given, name) < 1]
    return found


def _is_label(text: str) -> bool:
    return DNS_LABEL.fullmatch(text) is not None


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return (
            parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and "@" not in parts.netloc
        )
    except ValueError:
        return False


def _is_cache(text: str) -> bool:
    kind, _, rest = text.partition(":")
    if kind == "claim":
        return _is_label(rest)
    return text == "empty" or (kind == "host" and rest.startswith("/") and ".." not in rest.split("/"))


def _is_labelled(text: str, parts: int) -> bool:
    found = text.split("=", parts - 1)
    return len(found) == parts and all(_LABEL_PART.fullmatch(each) for each in found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How this server runs; `from_environment` reads it, tests construct it."""

    data: Path = field(default_factory=lambda: Path.home() / ".headway")
    """The data directory: database, artifacts, environments, attempts. One server each."""
    host: str = "127.0.0.1"
    """The address to listen on; anything but loopback needs auth."""
    port: int = 7474
    """The port to listen on; 0 takes a free one."""
    database: str = ""
    """An SQLAlchemy address; empty means SQLite in the data directory."""
    auth: str = "token"
    """`token`, or `none` (loopback only)."""
    idle_stop: int = 0
    """Seconds without work or requests after which the server ends; 0 = never."""
    public_url: str = ""
    """The address that reports link to; empty means host and port."""
    poll_seconds: int = 15
    """How often a repository at GitHub is looked at where no webhooks come in."""
    catch_up_seconds: int = 300
    """How often it is looked at for what was missed where they do."""
    slots: int = 2
    """How many attempts run at the same time on this machine."""
    isolation: int = -1
    """The isolation level to use (0 or 2); -1 = the best that the self-test allows."""
    log_limit_mb: int = 64
    """What one attempt may write to its log before it is cut with a mark."""
    attempt_disk_mb: int = 20_000
    """What one attempt may write to its folder."""
    keep_attempts_days: int = 14
    """How long ended attempts keep their folder."""
    trash_days: int = 30
    """How long deleted runs, models and experiments can be restored; 0 = until somebody purges them."""
    tracker_hosts: str = ""
    """Hosts, by commas, that `tracking: {uri: ...}` may lead to (HOST or HOST:PORT), private ones and plain http too;
    empty means any https server outside of the own network; `none` means no server at all."""

    kubernetes: KubernetesSettings = field(default_factory=KubernetesSettings)
    """The cluster, where there is one: the variables HEADWAY_KUBERNETES_<NAME> below."""

    @property
    def database_url(self) -> str:
        """The address of the database in force."""
        return self.database or f"sqlite:///{self.data / 'headway.db'}"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Read every field from HEADWAY_<NAME>; an unreadable one is a `UsageError`."""
        source = os.environ if environment is None else environment
        cluster = KubernetesSettings(**_read_all(KubernetesSettings, source, prefix="HEADWAY_KUBERNETES_"))
        return cls(**_read_all(cls, source, prefix="HEADWAY_"), kubernetes=cluster)

    def as_environment(self) -> dict[str, str]:
        """Return the variables that `from_environment` reads these settings from."""
        plain = [each.name for each in fields(self) if each.name != "kubernetes"]
        pairs = [(f"HEADWAY_{name.upper()}", getattr(self, name)) for name in plain]
        pairs += [
            (f"HEADWAY_KUBERNETES_{each.name.upper()}", getattr(self.kubernetes, each.name))
            for each in fields(self.kubernetes)
        ]
        written = {name: ",".join(map(str, value)) if isinstance(value, tuple) else str(value) for name, value in pairs}
        return {name: text for name, text in written.items() if text}


def _read_all(record: type, source: Mapping[str, str], *, prefix: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for each in fields(record):
        variable = f"{prefix}{each.name.upper()}"
        raw = source.get(variable)
        if raw is not None and raw != "" and each.type in _READERS:
            found[each.name] = _READERS[str(each.type)](variable, raw)
    return found


def _read_number(variable: str, raw: str) -> int:
    try:
        return int(raw)
    except ValueError:
        raise UsageError(
            f"{variable}={raw!r} is not a whole number", hint=f"unset {variable}, or give a number"
        ) from None


def _read_flag(variable: str, raw: str) -> bool:
    if raw.lower() in (*_TRUE, *_FALSE):
        return raw.lower() in _TRUE
    raise UsageError(f"{variable}={raw!r} is neither true nor false", hint=f"unset {variable}, or write true")


def _read_list(_variable: str, raw: str) -> tuple[str, ...]:
    return tuple(each.strip() for each in raw.split(",") if each.strip())


def _read_volumes(variable: str, raw: str) -> tuple[AllowedVolume, ...]:
    found: dict[str, AllowedVolume] = {}
    for each in _read_list(variable, raw):
        name, _, claim = each.partition("=")
        is_read_only = (claim or name).endswith(":ro")
        claim, name = (claim or name).removesuffix(":ro"), name.removesuffix(":ro")
        if name in found or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", name):
            problem = "is there twice" if name in found else "is no NAME=CLAIM"
            raise UsageError(f"{variable}: {each!r} {problem}", hint="write for example datasets=ml-datasets:ro")
        found[name] = AllowedVolume(name=name, claim=claim, read_only=is_read_only)
    return tuple(found.values())


# By the annotation of a field.
_READERS: dict[str, Callable[[str, str], Any]] = {
    "str": lambda _variable, raw: raw,
    "Path": lambda _variable, raw: Path(raw).expanduser(),
    "int": _read_number,
    "bool": _read_flag,
    "tuple[str, ...]": _read_list,
    "tuple[AllowedVolume, ...]": _read_volumes,
}

"""What bubblewrap is told for a box."""

from __future__ import annotations

from pathlib import Path

import door
import pytest

from headway.errors import UsageError
from headway.sandbox.command import SANDBOX_PORT, Box, Facts, bubblewrap_options, machine_facts, wrap_record

FACTS = Facts(
    program="/usr/bin/bwrap", links={"/bin": "usr/bin"}, folders=("/lib64",), accelerators=("/dev/nvidia0", "/dev/dri")
)


def box(**changes: object) -> Box:
    return Box(**{"directory": "/data/a/1", "cwd": "/data/a/1/work", "env_path": "/data/env", **changes})  # type: ignore[arg-type]


def pairs(options: list[str], flag: str) -> list[str]:
    return [options[at + 1] for at, option in enumerate(options) if option == flag]


def test_only_its_own_folders_are_writable() -> None:
    options = bubblewrap_options(box(readable=("/sets/a",)), FACTS)
    assert pairs(options, "--bind") == ["/data/a/1/tmp", "/data/a/1/work", "/data/a/1/out", "/data/a/1/home"]
    assert "/sets/a" in pairs(options, "--ro-bind")
    assert options[-2:] == ["--remount-ro", "/"]


def test_nothing_of_the_machine_is_shared_that_need_not_be() -> None:
    """Rule 19: no process, network or environment of the server's is in reach."""
    options = bubblewrap_options(box(network=False), FACTS)
    for flag in ("--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-user", "--unshare-net"):
        assert flag in options
    for flag in ("--die-with-parent", "--new-session", "--clearenv"):
        assert flag in options
    assert pairs(options, "--cap-drop") == ["ALL"]
    everything = pairs(options, "--ro-bind") + pairs(options, "--ro-bind-try")
    assert not {"/", "/etc", "/root", "/home", "/var", "/run"} & set(everything)
    assert "/etc/resolv.conf" not in everything


def test_the_network_is_shared_when_it_is_allowed() -> None:
    options = bubblewrap_options(box(network=True, door=True), FACTS)
    assert "--unshare-net" not in options
    assert "/etc/resolv.conf" in pairs(options, "--ro-bind-try")
    assert "/run/headway/door.sock" not in options
    assert wrap_record(box(network=True, door=True), FACTS)["prefix"] == []


def test_without_network_a_forwarder_leads_to_the_door() -> None:
    record = wrap_record(box(network=False, door=True), FACTS)
    assert "/data/a/1/door/socket" in record["options"]
    assert record["prefix"][3:] == ["/run/headway/forward.py", "/run/headway/door.sock", "7475", "--"]
    assert record["files"]["/etc/hosts"].startswith("127.0.0.1 localhost")
    assert SANDBOX_PORT == door.SANDBOX_PORT


def test_accelerators_are_passed_only_when_asked_for() -> None:
    assert pairs(bubblewrap_options(box(), FACTS), "--dev-bind-try") == []
    assert pairs(bubblewrap_options(box(accelerators=True), FACTS), "--dev-bind-try") == ["/dev/nvidia0", "/dev/dri"]


def test_private_folders_are_hidden_where_a_wider_one_is_shown() -> None:
    options = bubblewrap_options(box(readable=("/big", "/big/data/sets"), private=("/big/data", "/elsewhere")), FACTS)
    assert pairs(options, "--tmpfs") == ["/big/data"]
    places = [options.index(each) for each in ("/big", "/big/data", "/big/data/sets")]
    assert places == sorted(places)


@pytest.mark.parametrize("path", ["/big/data", "relative", "/a/../etc"])
def test_paths_that_would_open_the_wall_are_refused(path: str) -> None:
    with pytest.raises(UsageError):
        bubblewrap_options(box(readable=(path,), private=("/big/data",)), FACTS)


def test_root_without_user_namespaces_keeps_its_number() -> None:
    options = bubblewrap_options(box(), Facts(program="bwrap", user_namespace=False))
    assert "--unshare-user" not in options
    assert "--uid" not in options


def test_the_facts_mirror_this_machine() -> None:
    facts = machine_facts("bwrap", user_namespace=True, uid=0)
    assert facts.uid == 1000
    for name, target in facts.links.items():
        assert str(Path(name).readlink()) == target
    assert all(Path(name).is_dir() for name in facts.folders)


def test_the_kernel_s_settings_and_hidden_folders_are_read_only() -> None:
    """A server that runs as root: what its sandbox's root writes to /proc/sys would reach the machine."""
    options = bubblewrap_options(box(readable=("/big",), private=("/big/data",)), FACTS)
    assert pairs(options, "--remount-ro") == ["/proc", "/big/data", "/"]
    assert options.index("--proc") < options.index("--remount-ro")


def test_a_hidden_folder_is_sealed_after_the_attempt_s_own_folders_stand_in_it() -> None:
    """The engine's root may lie within what is readable: sealed before, no attempt could be mounted there."""
    options = bubblewrap_options(box(readable=("/big",), private=("/big/data",), directory="/big/data/one"), FACTS)
    sealed = max(at for at in range(len(options) - 1) if options[at : at + 2] == ["--remount-ro", "/big/data"])
    inside = [at for at, each in enumerate(options) if each.startswith("/big/data/one/")]
    assert inside
    assert sealed > max(at for at in inside if options[at - 1] != "--chdir")
